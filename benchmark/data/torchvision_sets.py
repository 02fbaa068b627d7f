"""The data sets that torchvision downloads and reads."""

from __future__ import annotations

import http.client
import pickle
import socket
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets

from benchmark.data.raw import RawImages
from benchmark.data.torchvision_parts import EMNIST, STL10, SVHN
from benchmark.errors import UserError

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

_DAMAGE = (
    AssertionError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


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


def read(name: str, root: Path) -> RawImages:
    """Read a data set that is on disk.

    Args:
        name: One of torchvision's sets in the catalog.
        root: The folder that holds it.

    Returns:
        torchvision's own training and test sets.

    Raises:
        UserError: If the files are damaged.
    """
    try:
        train = _CLASSES[name](root, train=True)
        test = _CLASSES[name](root, train=False)
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the files of data set {name!r} under {root} cannot be read ({reason}): delete them, "
            "so that they are downloaded again, or replace them"
        ) from error
    classes = tuple(train.classes)
    for part in (train, test):
        labels = torch.as_tensor(part.targets)
        if not len(labels) or not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
            raise UserError(
                f"the files of data set {name!r} under {root} have no labels, or others than 0 to "
                f"{len(classes) - 1}: delete them, so that they are downloaded again, or replace "
                "them"
            )
    return RawImages(
        _channels_first(train.data),
        torch.as_tensor(train.targets, dtype=torch.int64),
        _channels_first(test.data),
        torch.as_tensor(test.targets, dtype=torch.int64),
        classes,
    )


def _channels_first(data: Any) -> Tensor:
    """Return (N, C, H, W) from MNIST's (N, H, W), CIFAR's (N, H, W, 3) or others' (N, 3, H, W)."""
    pixels = torch.as_tensor(data)
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    if pixels.shape[1] == 3:
        return pixels.contiguous()
    return pixels.permute(0, 3, 1, 2).contiguous()
