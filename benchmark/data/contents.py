"""What tells a folder of images from another one: their contents, wherever and whenever copied."""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from benchmark.data.listing import ImageFile, Listing, list_images
from benchmark.errors import UserError

_PIECE = 1 << 20
_VERSION = 1
"""Of what is kept in the cache."""


def content_fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change with the path or content of any image.

    Not with its time, so that runs on a folder are found again after it was copied. Of a zip file
    they come from the CRCs that it lists; a folder with the same content has the same ones. A
    folder is read once, until a size or a modification time changes: the result is kept in the
    user's cache.

    Args:
        path: A folder, or a zip file.

    Raises:
        UserError: As for ``list_images``; or an image cannot be read.
    """
    listing = list_images(path)
    if path.is_file():
        return listing.fingerprint()
    note = user_cache_path("palimpsest") / "contents" / f"{_VERSION}-{listing.fingerprint()}"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = note.read_text("ascii")
        if len(kept) == 16 and set(kept) <= set("0123456789abcdef"):
            return kept
    train, test = (
        tuple(_by_content(path, file) for file in files) for files in (listing.train, listing.test)
    )
    found = Listing(listing.classes, train, test).fingerprint()
    with contextlib.suppress(OSError):  # a cache that cannot be written saves nothing
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(found, "ascii")
    return found


def _by_content(path: Path, file: ImageFile) -> ImageFile:
    """The image with the stamp that it has in a zip file."""
    crc = 0
    try:
        with (path / file.member).open("rb") as opened:
            while piece := opened.read(_PIECE):
                crc = zlib.crc32(piece, crc)
    except OSError as error:
        raise UserError(
            f"{file.member} in {path} cannot be read ({error.strerror}): replace or remove it"
        ) from None
    size, _, *named = file.stamp.split(" ", 2)
    return replace(file, stamp=" ".join([size, str(crc), *named]))
