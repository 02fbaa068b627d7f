"""Image data sets, read and decoded once: as normalised tensors, or as bytes until used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.data.catalog import FOLDER_PREFIX, folder_path, require
from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.data.formats.raw import RawImages
from palimpsest.benchmark.data.sharing import shared

_IMAGES_AT_ONCE = 10_000
"""That are counted: all of a large data set would not fit into memory."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set in memory. Others may hold the same tensors: never write to them.

    Attributes:
        train_x: Images to train on, float32, shape (N, C, H, W); each channel has mean 0 and
            standard deviation 1 over all of them.
        train_y: Their classes, int64, shape (N,).
        test_x: Images to test on, float32, shape (M, C, H, W), normalised with the statistics of
            the training images.
        test_y: Their classes, int64, shape (M,).
        classes: The names of the classes; label i is ``classes[i]``.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self.train_x.shape[1:]
        return channels, height, width

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)


@dataclass(frozen=True, eq=False)
class PixelData:
    """A data set in memory as it is stored, with the same images and labels as `ImageData`.

    Attributes:
        train_x: Images to train on, (N, C, H, W).
        train_y: Their classes, int64, shape (N,).
        test_x: Images to test on, (M, C, H, W), normalised as the training images are.
        test_y: Their classes, int64, shape (M,).
        classes: The names of the classes; label i is ``classes[i]``.
    """

    train_x: Pixels
    train_y: Tensor
    test_x: Pixels
    test_y: Tensor
    classes: tuple[str, ...]


def load(name: str, root: Path) -> ImageData:
    """Load a data set, downloading it where it is missing.

    Its files are read and decoded once. From then on the raw pixels stay in memory (or in a file
    that is mapped, where they are large), at a quarter of the size of what this returns.

    Args:
        name: The data set: one of ``sets.SETS``, or ``folder:PATH``.
        root: The folder that holds the data sets.

    Returns:
        The same tensors, bit for bit, in every process.

    Raises:
        UserError: If the name is wrong, or the data are missing, damaged or unusable.
    """
    found = load_pixels(name, root)
    whole = slice(None)
    return ImageData(
        found.train_x[whole], found.train_y, found.test_x[whole], found.test_y, found.classes
    )


@cache
def load_pixels(name: str, root: Path) -> PixelData:
    """Load a data set as `load` does, and leave its pixels as they are stored.

    All processes that share files (see ``benchmark/data/sharing.py``) share them.

    Args:
        name: The data set: one of ``sets.SETS``, or ``folder:PATH``.
        root: The folder that holds the data sets.

    Raises:
        UserError: As `load`.
    """
    require(name, root)
    raw, (mean, std) = shared((name, root), lambda: _with_statistics(name, root))
    images = RawImages(**raw)
    return PixelData(
        train_x=Pixels(images.train_x, mean, std),
        train_y=images.train_y,
        test_x=Pixels(images.test_x, mean, std),
        test_y=images.test_y,
        classes=images.classes,
    )


def _with_statistics(name: str, root: Path) -> tuple[dict[str, Any], tuple[Tensor, Tensor]]:
    raw = _read(name, root)
    return vars(raw), statistics(raw.train_x)


def _read(name: str, root: Path) -> RawImages:
    # scikit-learn and torchvision take seconds to import: only the source at hand pays.
    if name.startswith(FOLDER_PREFIX):
        from palimpsest.benchmark.data.formats import folder

        return folder.read(folder_path(name, root))
    from palimpsest.benchmark.data.formats import named

    return named.read(name, root)


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of images, shapes (1, C, 1, 1).

    They come from integer sums over the histogram, so that they depend neither on the number of
    threads nor on the order of additions.

    Args:
        x: The images, uint8, shape (N, C, H, W).
    """
    means, stds = [], []
    for channel in range(x.shape[1]):
        parts = torch.split(x[:, channel], _IMAGES_AT_ONCE)
        counts = [torch.bincount(part.flatten(), minlength=256) for part in parts]
        histogram = torch.stack(counts).sum(dim=0).tolist()
        count = sum(histogram)
        total = sum(value * times for value, times in enumerate(histogram))
        squares = sum(value * value * times for value, times in enumerate(histogram))
        means.append(total / count)
        variance = (count * squares - total * total) / count**2
        stds.append(math.sqrt(variance) or 1.0)  # one value everywhere: nothing to scale
    shape = (1, -1, 1, 1)
    return torch.tensor(means).view(shape), torch.tensor(stds).view(shape)
