"""A folder or a zip file of class folders, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from palimpsest.benchmark.data.contents import ImageSource
from palimpsest.benchmark.data.formats.decoding import decoded
from palimpsest.benchmark.data.formats.pixels import ImageData
from palimpsest.benchmark.data.kept import keep_images, kept_images
from palimpsest.benchmark.data.listing import ImageFile, Listing
from palimpsest.benchmark.data.mapped import room_for
from palimpsest.benchmark.data.splits import train_test_split


def read(path: Path) -> ImageData[Tensor]:
    """Decode the images of a folder or a zip file, if no earlier command has decoded the same.

    Where the source has no ``train`` and ``test`` folders, a fixed fifth of each class is set apart
    for testing. The images are greyscale, with one channel, if every one of them is stored as 8-bit
    greyscale, and RGB otherwise.

    Returns:
        The images, in the order of their paths.

    Raises:
        UserError: `list_images` refuses the source, an image cannot be decoded or has more than
            8 bits per channel, or two images differ in size.
    """
    source = ImageSource.of(path)
    x, _ = stacked(source)
    train, test = _parts(source.listing)
    y = _labels(source.listing)
    count = len(train)
    return ImageData(x[:count], y[train], x[count:], y[test], source.listing.classes)


def stacked(source: ImageSource) -> tuple[Tensor, list[int]]:
    """Return all images, those to train on first, and the place of each image of the listing.

    They are uint8, of shape (N, C, H, W). The errors are those of `read`.
    """
    files = (*source.listing.train, *source.listing.test)
    place = torch.cat(_parts(source.listing)).argsort().tolist()
    content = source.content()
    x = kept_images(content, len(files))
    if x is None:
        x = _decoded(source.path, files, place)
        if source.is_unchanged():
            keep_images(content, x)
    return x, place


def _labels(listing: Listing) -> Tensor:
    return torch.tensor([file.label for file in (*listing.train, *listing.test)])


def _parts(listing: Listing) -> tuple[Tensor, Tensor]:
    """Return the numbers of the images to train on and to test on."""
    if not listing.test:
        return train_test_split(_labels(listing))
    count = len(listing.train)
    return torch.arange(count), torch.arange(count, count + len(listing.test))


def _decoded(path: Path, files: Sequence[ImageFile], place: Sequence[int]) -> Tensor:
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
