"""A folder or a zip file of class folders, decoded with Pillow."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmark.data.listing import ImageFile, list_images
from benchmark.data.raw import RawImages
from benchmark.data.splits import train_test_split
from benchmark.errors import UserError

_UNREADABLE = (
    OSError,
    SyntaxError,  # Pillow's for a broken PNG
    ValueError,
    EOFError,
    RuntimeError,  # zipfile's for an encrypted member
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


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
    if path.is_dir():
        pixels = _decode(path, files, lambda member: (path / member).read_bytes())
    else:
        with zipfile.ZipFile(path) as archive:
            pixels = _decode(path, files, archive.read)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    y = torch.tensor([file.label for file in files])
    if listing.test:
        train, test = torch.arange(len(listing.train)), torch.arange(len(listing.train), len(files))
    else:
        train, test = train_test_split(y)
    return RawImages(x[train], y[train], x[test], y[test], listing.classes)


def _decode(
    path: Path, files: tuple[ImageFile, ...], read_member: Callable[[str], bytes]
) -> npt.NDArray[np.uint8]:
    """Return the pixels of all files, shape (N, H, W, 1) or (N, H, W, 3)."""
    first = _pixels(path, files[0].member, read_member)
    decoded = np.empty((len(files), *first.shape), dtype=np.uint8)
    for index, file in enumerate(files):
        image = _pixels(path, file.member, read_member)
        if image.shape[:2] != first.shape[:2]:
            raise UserError(
                f"the images of {path} differ in size (width x height): {files[0].member} has "
                f"{first.shape[1]} x {first.shape[0]} pixels, {file.member} has "
                f"{image.shape[1]} x {image.shape[0]}; resize them to one size"
            )
        if image.shape[2] > decoded.shape[3]:  # the first in colour, after greyscale ones
            decoded = np.repeat(decoded, 3, axis=3)
        decoded[index] = image
    return decoded


def _pixels(path: Path, member: str, read_member: Callable[[str], bytes]) -> npt.NDArray[np.uint8]:
    """Return one image, shape (H, W, 1) if it is stored as 8-bit greyscale, else (H, W, 3)."""
    try:
        with Image.open(BytesIO(read_member(member))) as image:
            deep = image.mode in {"I", "F"} or image.mode.startswith("I;")
            pixels = np.asarray(image if image.mode in {"L", "RGB"} else image.convert("RGB"))
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{member} in {path} cannot be decoded ({reason}): replace or remove it"
        ) from error
    if deep:  # Pillow would clip the values at 255
        raise UserError(
            f"{member} in {path} has more than 8 bits per channel: convert it to 8 bits"
        )
    return pixels.reshape(*pixels.shape[:2], -1)
