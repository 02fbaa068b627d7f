"""Lists all members of a zip file, and the errors of reading one."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,  # zipfile's for an encrypted member, and for an unknown compression
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""The errors of reading a file, or a member of a zip file."""

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_LONGEST_END = 2**16 + 1024
"""Bytes: the two records at the end of a zip file, and a comment."""

_IN_RECORD_64 = 0xFFFF
"""In place of a number of members that has more than 16 bits."""


def members(path: Path) -> list[zipfile.ZipInfo]:
    """Return all members of a zip file; of several with one name the last, which is the one read.

    Python does not notice a directory with a damaged length, and leaves members out. So they are
    counted, and compared with the number at the end of the file.

    Raises:
        One of ``UNREADABLE``: It is no zip file, or its directory is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        found = archive.infolist()
    told = _number(path)
    # Some programs write the last 16 bits of a larger number.
    if told not in {len(found), len(found) % 2**16}:
        raise zipfile.BadZipFile(f"its directory has {len(found)} members and says {told}")
    return [*{member.filename: member for member in found}.values()]


def _number(path: Path) -> int:
    """Return how many members a zip file says that it has."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_END))
        end = file.read()
    at = end.rfind(_END)
    (number,) = struct.unpack("<H", end[at + 10 : at + 12])
    at_64 = end.rfind(_END_64, 0, at)
    if number == _IN_RECORD_64 and at_64 >= 0:
        (number,) = struct.unpack("<Q", end[at_64 + 32 : at_64 + 40])
    return int(number)
