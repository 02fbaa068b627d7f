"""Decoded images, kept between commands in the user's cache."""

from __future__ import annotations

import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterator

import torch
from torch import Tensor

from palimpsest.benchmark.data.cache import DECODED, keep, make_room, opened

_VERSION = 1
"""The version of decoding; images of another one are not read."""

_START = b"palimpsest image"
_HEADER = struct.Struct(f"<{len(_START)}s4QQ")
"""The beginning of a file: the shape of the images, and a checksum of shape and pixels."""

_SHAPE = struct.Struct("<4Q")
_PIECE = 2**24


def kept_images(content: str, count: int) -> Tensor | None:
    """Return images that an earlier command has decoded; ``None`` if they are not there whole.

    They are mapped: only used pages are in memory, and writing would change a copy.

    Args:
        content: The hash of their source, see `ImageSource.content`.
        count: The number of images.

    Returns:
        uint8, shape (count, C, H, W).
    """
    try:
        with opened(DECODED, _name(content)) as file:
            size = os.fstat(file).st_size
            start, *shape, check = _HEADER.unpack(os.read(file, _HEADER.size))
            if start != _START or shape[0] != count or size != _HEADER.size + math.prod(shape):
                return None
            whole = mmap.mmap(file, size, access=mmap.ACCESS_COPY)
    except (OSError, ValueError, OverflowError, struct.error):
        return None
    images = torch.frombuffer(whole, dtype=torch.uint8)[_HEADER.size :].view(*shape)
    return images if _check(images) == check else None


def keep_images(content: str, images: Tensor) -> None:
    """Keep decoded images for later commands, if there is room.

    Args:
        content: As above.
        images: uint8, shape (N, C, H, W).

    Raises:
        UserError: The limit of the cache is not a number.
    """
    if make_room(_HEADER.size + images.nbytes):
        header = _HEADER.pack(_START, *images.shape, _check(images))
        keep(DECODED, _name(content), [header, *_pieces(images)])


def _name(content: str) -> str:
    return f"{_VERSION}-{content}.images"


def _check(images: Tensor) -> int:
    check = zlib.crc32(_SHAPE.pack(*images.shape))
    for piece in _pieces(images):
        check = zlib.crc32(piece, check)
    return check


def _pieces(images: Tensor) -> Iterator[memoryview]:
    """Yield the pixels a part at a time, without a copy."""
    for part in torch.split(images.view(-1), _PIECE):
        yield part.numpy().data
