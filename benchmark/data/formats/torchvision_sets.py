"""The data sets that torchvision downloads and reads."""

from __future__ import annotations

import http.client
import re
import socket
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from palimpsest.benchmark.data.formats.raw import RawImages
from palimpsest.benchmark.data.formats.torchvision_parts import EMNIST, STL10, SVHN
from palimpsest.benchmark.errors import UserError

_CLASSES: dict[str, Any] = {
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
    "kmnist": datasets.KMNIST,
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
    "svhn": SVHN,
    "emnist": partial(EMNIST, split="balanced"),
    "emnist_letters": partial(EMNIST, split="letters"),
    "emnist_digits": partial(EMNIST, split="digits"),
    "emnist_byclass": partial(EMNIST, split="byclass"),
    "emnist_bymerge": partial(EMNIST, split="bymerge"),
    "stl10": STL10,
}
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
"""What `download` raises where there is no network, no space or a damaged archive."""


def download(name: str, root: Path) -> None:
    """Download a data set with a progress bar, or unpack its archive if that is already there.

    Args:
        name: One of torchvision's sets in the catalog.
        root: The folder to put it in, created if needed.
    """
    with limited_silence():
        _CLASSES[name](root, download=True)


@contextmanager
def limited_silence() -> Iterator[None]:
    """Give up a download inside the context if nothing comes for some seconds.

    torchvision and Avalanche set no limit of their own: behind a firewall that drops packets they
    would wait for minutes.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_LIMIT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read(
    name: str,
    root: Path,
    files: Sequence[str] = (),
    shape: tuple[int, int, int] | None = None,
    n_classes: int | None = None,
) -> RawImages:
    """Read a data set that is on disk.

    Args:
        name: One of torchvision's sets in the catalog.
        root: The folder that holds it.
        files: That it has, relative to the root, for messages.
        shape: Of an image; ``None``: whatever the files have.
        n_classes: How many there are; ``None``: as many as the files have.

    Returns:
        torchvision's own training and test sets.

    Raises:
        UserError: If the files are damaged.
    """
    where = f"the files of data set {name!r} under {root}"
    remedy = "delete them, so that they are downloaded again, or replace them"
    sets = {}
    for part in ("training", "test"):
        of_part = _of_part(files, part)
        try:
            own = _CLASSES[name](root, train=part == "training")
            sets[part] = x, y, classes = (
                _channels_first(own.data), torch.as_tensor(own.targets), tuple(own.classes)
            )  # fmt: skip
        except Exception as error:  # whatever is in a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            if changed := ", ".join(_changed(_CLASSES[name], root, files)):
                of_part, reason = changed, "not as they were published, by their checksums"
            raise UserError(f"{where} cannot be read: {of_part} ({reason}); {remedy}") from error
        for problem in _problems(x, y, classes, shape, n_classes):
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
    return RawImages(train_x, train_y.long(), test_x, test_y.long(), classes)


def _of_part(files: Sequence[str], part: str) -> str:
    """Return the files of the training or the test set."""
    return ", ".join(file for file in files if bool(_OF_TEST.search(file)) is (part == "test"))


def _changed(kind: Any, root: Path, files: Sequence[str]) -> list[str]:
    """Return the files that are not those of the published checksums."""
    known = dict([*getattr(kind, "train_list", ()), *getattr(kind, "test_list", ())])
    known |= {file: md5 for _, file, md5 in getattr(kind, "split_list", {}).values()}
    if meta := getattr(kind, "meta", None):
        known[meta["filename"]] = meta["md5"]
    return [file for file in files if not check_integrity(root / file, known.get(Path(file).name))]


def _problems(
    x: Tensor,
    y: Tensor,
    classes: Sequence[str],
    shape: tuple[int, int, int] | None,
    n_classes: int | None,
) -> Iterator[str]:
    """Yield what is wrong with images and their labels."""
    if x.dtype != torch.uint8:
        yield f"pixels of type {x.dtype}, expected bytes"
    if shape is not None and tuple(x.shape[1:]) != shape:
        yield f"images of shape {tuple(x.shape[1:])}, expected {shape}"
    if n_classes is not None and len(classes) != n_classes:
        yield f"names of {len(classes)} classes, expected {n_classes}"
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
