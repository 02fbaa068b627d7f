"""Makes room for a data set's images: in memory, or in a mapped file where they are large.

The pages of a mapped file need not stay in memory: the system reads them again when they are used.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from palimpsest.benchmark.data.shared_data import sharing_folder
from palimpsest.benchmark.errors import UserError

MAPPED_FROM = 2**30
"""Images of at least so many bytes are in a file."""


class NoRoomError(UserError):
    """There is no room for the file of decoded images."""


def room_for(shape: Sequence[int]) -> Tensor:
    """Return an uninitialised uint8 tensor to write images to.

    A large one is a file, in the folder that processes share or else in that for temporary files.
    The file has no name, and is gone when nothing uses the tensor any more.

    Raises:
        NoRoomError: There is no room for the file.
    """
    size = math.prod(shape)
    if size < MAPPED_FROM:
        return torch.empty(tuple(shape), dtype=torch.uint8)
    folder = sharing_folder() or Path(tempfile.gettempdir())
    try:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".images") as file:
            _reserve(file.fileno(), size)
            whole = torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise NoRoomError(
            f"the decoded images take {size / 1e9:.1f} GB, and {folder} has no room for a file of "
            f"that size ({reason}): free some space there, or set --scratch or TMPDIR to a folder "
            "with more"
        ) from error
    return whole.view(tuple(shape))


def _reserve(file: int, size: int) -> None:
    """Take the space of a file now: on a full disk, later writing would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)
