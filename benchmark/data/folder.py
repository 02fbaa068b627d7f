"""A folder or a zip file of class folders, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmark.data.decoding import decoded
from benchmark.data.listing import ImageFile, list_images
from benchmark.data.mapped import room_for
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
    y = torch.tensor([file.label for file in files])
    if listing.test:
        train, test = torch.arange(len(listing.train)), torch.arange(len(listing.train), len(files))
    else:
        train, test = train_test_split(y)
    place = torch.cat([train, test]).argsort().tolist()  # so that both are parts of one tensor
    x = _stacked(path, files, place)
    count = len(train)
    return RawImages(x[:count], y[train], x[count:], y[test], listing.classes)


def _stacked(path: Path, files: Sequence[ImageFile], place: Sequence[int]) -> Tensor:
    """Return the pixels of all files, uint8, shape (N, C, H, W), file i at ``place[i]``."""
    stacked: Tensor | None = None
    for index, image in enumerate(decoded(path, files)):
        height, width, channels = image.shape
        if stacked is None:
            stacked = room_for((len(files), channels, height, width))
        if channels > stacked.shape[1]:  # the first in colour, after greyscale ones
            grey, stacked = stacked, room_for((len(files), channels, height, width))
            for earlier in place[:index]:
                stacked[earlier] = grey[earlier]
        stacked[place[index]] = torch.from_numpy(image.copy()).permute(2, 0, 1)
    assert stacked is not None
    return stacked
