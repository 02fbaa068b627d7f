"""Reads and downloads the data sets that have a name."""

from __future__ import annotations

import http.client
import re
import socket
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import ImageData
from palimpsest.benchmark.data.named_set import NamedSet
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.errors import UserError

_OF_TEST = re.compile(r"(^|/|-)(t10k|test)[^/]*$")
_SILENCE_LIMIT_SECONDS = 15.0

DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    OSError,
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
    zlib.error,
)
"""The errors of `download` if there is no network or space, or an archive is damaged."""


def download(name: str, root: Path) -> None:
    """Download a named data set to a folder, with a progress bar; or unpack its archive there."""
    known = SETS[name]
    with limited_silence():
        known.reader_class(root, download=True, **known.arguments)


@contextmanager
def limited_silence() -> Iterator[None]:
    """Stop a download inside the context if no data arrive for some seconds.

    torchvision and Avalanche have no limit: behind a firewall that drops packets they would wait
    for minutes.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_LIMIT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read(name: str, root: Path) -> ImageData[Tensor]:
    """Read a named data set from a folder, with its own training and test sets.

    Raises:
        UserError: The files are damaged.
    """
    known = SETS[name]
    files = known.files(root)
    where = f"the files of data set {name!r} under {root}"
    remedy = "delete them, so that they are downloaded again, or replace them"
    sets = {}
    for part in ("training", "test"):
        of_part = _of_part(files, part)
        try:
            own = known.reader_class(root, train=part == "training", **known.arguments)
            sets[part] = x, y, classes = (
                _channels_first(own.data), torch.as_tensor(own.targets), tuple(own.classes)
            )  # fmt: skip
        except Exception as error:  # whatever is in a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            if changed := ", ".join(_changed(known.reader_class, root, files)):
                of_part, reason = changed, "not as they were published, by their checksums"
            raise UserError(f"{where} cannot be read: {of_part} ({reason}); {remedy}") from error
        for problem in _problems(x, y, classes, known):
            raise UserError(
                f"{where} are damaged: the {part} set ({of_part}) has {problem}; {remedy}"
            )
    (train_x, train_y, classes), (test_x, test_y, _) = sets.values()
    if apart := {*train_y.tolist()} ^ {*test_y.tolist()}:
        part = "training" if min(apart) in test_y else "test"
        raise UserError(
            f"{where} are damaged: the {part} set ({_of_part(files, part)}) has no images of class "
            f"{classes[min(apart)]!r}; {remedy}"
        )
    return ImageData(train_x, train_y.long(), test_x, test_y.long(), classes)


def _of_part(files: Sequence[str], part: str) -> str:
    """Return the files of the training or the test set."""
    return ", ".join(file for file in files if bool(_OF_TEST.search(file)) is (part == "test"))


def _changed(kind: Any, root: Path, files: Sequence[str]) -> list[str]:
    """Return the files that do not have the published checksums."""
    from torchvision.datasets.utils import check_integrity

    known = dict([*getattr(kind, "train_list", ()), *getattr(kind, "test_list", ())])
    known |= {file: md5 for _, file, md5 in getattr(kind, "split_list", {}).values()}
    if meta := getattr(kind, "meta", None):
        known[meta["filename"]] = meta["md5"]
    return [file for file in files if not check_integrity(root / file, known.get(Path(file).name))]


def _problems(x: Tensor, y: Tensor, classes: Sequence[str], known: NamedSet) -> Iterator[str]:
    """Yield what is wrong with images and their labels."""
    if x.dtype != torch.uint8:
        yield f"pixels of type {x.dtype}, expected bytes"
    if tuple(x.shape[1:]) != known.input_shape:
        yield f"images of shape {tuple(x.shape[1:])}, expected {known.input_shape}"
    if len(classes) != known.n_classes:
        yield f"names of {len(classes)} classes, expected {known.n_classes}"
    if y.ndim != 1 or len(x) != len(y):
        yield f"{len(x):,} images and labels of shape {tuple(y.shape)}, expected one for each image"
    elif y.is_floating_point():
        yield f"labels of type {y.dtype}, expected whole numbers"
    elif not len(y) or not 0 <= int(y.min()) <= int(y.max()) < len(classes):
        yield f"no labels, or others than 0 to {len(classes) - 1}"
    elif int(y.min()) == int(y.max()):
        yield f"one label for all {len(y):,} images"


def _channels_first(data: Any) -> Tensor:
    """Return (N, C, H, W) from MNIST's (N, H, W), CIFAR's (N, H, W, 3) or others' (N, 3, H, W)."""
    pixels = torch.as_tensor(data)
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    if pixels.shape[1] == 3:
        return pixels.contiguous()
    return pixels.permute(0, 3, 1, 2).contiguous()
