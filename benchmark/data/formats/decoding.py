"""Decodes the images of a folder or a zip file one by one, with Pillow and without torch.

Nothing of a zip file is extracted, and sizes are limited before anything is read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from palimpsest.benchmark.data.formats.zip_members import UNREADABLE
from palimpsest.benchmark.data.listing import ImageFile
from palimpsest.benchmark.errors import UserError

PixelArray = npt.NDArray[np.uint8]
"""Shape (H, W, 1) if the image is stored as 8-bit greyscale, else (H, W, 3)."""

MOST_BYTES = 2**38
"""The limit of a data set's decoded images, which are in memory or in a mapped file."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "WEBP")
"""Pillow's names of the formats that are tried, whatever a file is called."""

_UNDECODABLE = (
    *UNREADABLE,
    SyntaxError,  # Pillow's for a broken PNG
    Image.DecompressionBombError,
)


def decoded(path: Path, files: Sequence[ImageFile]) -> Iterator[PixelArray]:
    """Decode images one by one.

    Raises:
        UserError: An image cannot be decoded, has more than 8 bits per channel or another size than
            the first, or all together are too large.
    """
    if path.is_dir():
        yield from _of_one_size(path, files, lambda member: (path / member).read_bytes())
        return
    with zipfile.ZipFile(path) as archive:
        yield from _of_one_size(path, files, archive.read)


def _of_one_size(
    path: Path, files: Sequence[ImageFile], read_member: Callable[[str], bytes]
) -> Iterator[PixelArray]:
    height, width = 0, 0
    for index, file in enumerate(files):
        image = _pixels(path, file.member, read_member)
        if index == 0:
            height, width, _ = image.shape
            if len(files) * image.size > MOST_BYTES:
                raise UserError(
                    f"{path} has {len(files):,} images of {width} x {height} pixels, over "
                    f"{MOST_BYTES / 2**30:.0f} GB together: make them smaller, or take fewer"
                )
        if image.shape[:2] != (height, width):
            raise UserError(
                f"the images of {path} differ in size (width x height): {files[0].member} has "
                f"{width} x {height} pixels, {file.member} has "
                f"{image.shape[1]} x {image.shape[0]}; resize them to one size"
            )
        yield image


def _pixels(path: Path, member: str, read_member: Callable[[str], bytes]) -> PixelArray:
    """Return one image."""
    try:
        with Image.open(BytesIO(read_member(member)), formats=_FORMATS) as image:
            deep = image.mode in {"I", "F"} or image.mode.startswith("I;")
            pixels = np.asarray(image if image.mode in {"L", "RGB"} else image.convert("RGB"))
    except _UNDECODABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"no image of the formats {', '.join(_FORMATS)}"
        raise UserError(
            f"{member} in {path} cannot be decoded ({reason}): replace or remove it"
        ) from error
    if deep:  # Pillow would clip the values at 255
        raise UserError(
            f"{member} in {path} has more than 8 bits per channel: convert it to 8 bits"
        )
    return pixels.reshape(*pixels.shape[:2], -1)
