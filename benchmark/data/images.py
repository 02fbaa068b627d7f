"""Image data sets as normalised tensors, read and decoded once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from benchmark.data.catalog import FOLDER_PREFIX, folder_path, require
from benchmark.data.raw import RawImages
from benchmark.data.sharing import shared


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


def load(name: str, root: Path) -> ImageData:
    """Load a data set, downloading it where it is missing.

    Its files are read and decoded once. From then on the raw pixels stay in memory, at a quarter of
    the size of what this returns.

    Args:
        name: The data set: one of ``catalog.NAMES``, or ``folder:PATH``.
        root: The folder that holds the data sets.

    Returns:
        The same tensors, bit for bit, in every process.

    Raises:
        UserError: If the name is wrong, or the data are missing, damaged or unusable.
    """
    raw = _raw(name, root)
    mean, std = _statistics(raw.train_x)
    return ImageData(
        train_x=_normalise(raw.train_x, mean, std),
        train_y=raw.train_y,
        test_x=_normalise(raw.test_x, mean, std),
        test_y=raw.test_y,
        classes=raw.classes,
    )


@cache
def _raw(name: str, root: Path) -> RawImages:
    require(name, root)
    return RawImages(**shared((name, root), lambda: vars(_read(name, root))))


def _read(name: str, root: Path) -> RawImages:
    # scikit-learn and torchvision take seconds to import: only the source at hand pays.
    if name.startswith(FOLDER_PREFIX):
        from benchmark.data import folder

        return folder.read(folder_path(name, root))
    if name == "digits":
        from benchmark.data import digits

        return digits.read()
    from benchmark.data import torchvision_sets

    return torchvision_sets.read(name, root)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of uint8 images, shapes (1, C, 1, 1).

    They come from integer sums over the histogram, so that they depend neither on the number of
    threads nor on the order of additions.
    """
    means, stds = [], []
    for channel in range(x.shape[1]):
        histogram = torch.bincount(x[:, channel].flatten(), minlength=256).tolist()
        count = sum(histogram)
        total = sum(value * times for value, times in enumerate(histogram))
        squares = sum(value * value * times for value, times in enumerate(histogram))
        means.append(total / count)
        variance = (count * squares - total * total) / count**2
        stds.append(math.sqrt(variance) or 1.0)  # one value everywhere: nothing to scale
    shape = (1, -1, 1, 1)
    return torch.tensor(means).view(shape), torch.tensor(stds).view(shape)


def _normalise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return x.to(torch.float32).sub_(mean).div_(std)
