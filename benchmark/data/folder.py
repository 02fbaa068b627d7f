"""A folder or a zip file of class folders, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmark.data.decoding import Pixels, decoded
from benchmark.data.listing import ImageFile, list_images
from benchmark.data.raw import RawImages
from benchmark.data.splits import train_test_split


def read(path: Path) -> RawImages:
    """Decode the images of a folder or a zip file.

    Where the source has no ``train`` and ``test`` folders, a fixed fifth of each class is set apart
    for testing. The images are greyscale, with one channel, if every one of them is stored as 8-bit
    greyscale, and RGB otherwise.

    Args:
        path: The folder or the zip file, laid out as `list_images` expects it.

    Returns:
        The images, in the order of their paths.

    Raises:
        UserError: If `list_images` refuses the source, an image cannot be decoded or has more than
            8 bits per channel, or two images differ in size.
    """
    listing = list_images(path)
    files = (*listing.train, *listing.test)
    pixels = _stacked(path, files)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    y = torch.tensor([file.label for file in files])
    if listing.test:
        train, test = torch.arange(len(listing.train)), torch.arange(len(listing.train), len(files))
    else:
        train, test = train_test_split(y)
    return RawImages(x[train], y[train], x[test], y[test], listing.classes)


def _stacked(path: Path, files: Sequence[ImageFile]) -> Pixels:
    """Return the pixels of all files, shape (N, H, W, 1) or (N, H, W, 3)."""
    stacked: Pixels | None = None
    for index, image in enumerate(decoded(path, files)):
        if stacked is None:
            stacked = np.empty((len(files), *image.shape), dtype=np.uint8)
        if image.shape[2] > stacked.shape[3]:  # the first in colour, after greyscale ones
            stacked = np.repeat(stacked, 3, axis=3)
        stacked[index] = image
    assert stacked is not None
    return stacked
