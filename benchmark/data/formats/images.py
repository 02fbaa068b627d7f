"""Image data sets, read and decoded once, and kept as bytes until they are used."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.data.catalog import require
from palimpsest.benchmark.data.formats.pixels import ImageData, Pixels
from palimpsest.benchmark.data.paths import FOLDER_PREFIX, path_of
from palimpsest.benchmark.data.shared_data import shared

_IMAGES_AT_ONCE = 10_000
"""Images that are counted together: all of a large data set would not fit into memory."""


@cache
def load_pixels(name: str, root: Path) -> ImageData[Pixels]:
    """Load a data set, downloading it where it is missing.

    Its files are read and decoded once. From then on the bytes stay in memory, or in a mapped file
    where they are large. Processes that share files (see ``benchmark/data/shared_data.py``) share
    them. What is indexed of the images is normalised: each channel has mean 0 and standard
    deviation 1 over all training images.

    Raises:
        UserError: The name is wrong, or the data are missing, damaged or unusable.
    """
    require(name, root)
    stored, (mean, std) = shared((name, root), lambda: _with_statistics(name, root))
    train_x, test_x = (Pixels(stored[part], mean, std) for part in ("train_x", "test_x"))
    return ImageData(**{**stored, "train_x": train_x, "test_x": test_x})


def _with_statistics(name: str, root: Path) -> tuple[dict[str, Any], tuple[Tensor, Tensor]]:
    found = _read(name, root)
    return vars(found), statistics(found.train_x)


def _read(name: str, root: Path) -> ImageData[Tensor]:
    # scikit-learn and torchvision take seconds to import: only the source at hand pays.
    if name.startswith(FOLDER_PREFIX):
        from palimpsest.benchmark.data.formats import folder

        return folder.read(path_of(name, root))
    from palimpsest.benchmark.data.formats import named

    return named.read(name, root)


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of images, shapes (1, C, 1, 1).

    They come from integer sums over the histogram. So they depend neither on the number of threads
    nor on the order of additions.

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
