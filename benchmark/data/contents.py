"""A hash of the images in a folder or a zip file, the same for all copies of them."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from palimpsest.benchmark.data.cache import CONTENTS, keep_note, note, settled
from palimpsest.benchmark.data.listing import ImageFile, Listing, changed, list_images
from palimpsest.benchmark.errors import UserError

_PIECE = 1 << 20
_VERSION = 1
"""The version of the notes in the cache."""

_DIGITS = 16


@dataclass(frozen=True)
class ImageSource:
    """A folder or a zip file of images at one moment.

    Attributes:
        path: Its path.
        listing: Its images.
        moment: Text that changes with the size or the time of any file.
        settled: Whether that is certain: a new file may change again with the same time.
    """

    path: Path
    listing: Listing
    moment: str
    settled: bool

    @classmethod
    def of(cls, path: Path) -> ImageSource:
        """List the images of a path; raises the errors of ``list_images``."""
        began = time.time_ns()
        listing = list_images(path)
        last = changed(path, listing)
        moment = listing.fingerprint() + (f"-{last}" if path.is_file() else "")
        return cls(path, listing, moment, settled([last], began))

    def is_unchanged(self) -> bool:
        """Whether it certainly has not changed since."""
        return self.settled and ImageSource.of(self.path) == self

    def content(self) -> str:
        """Return 16 hexadecimal digits that change with the path or content of any image.

        They do not change with its time. Of a zip file they come from the CRCs that it lists; a
        folder with the same content has the same digits. A folder is read once, until a size or a
        time changes: the result is kept in the user's cache.

        Raises:
            UserError: An image cannot be read.
        """
        if self.path.is_file():
            return self.listing.fingerprint()
        name = f"{_VERSION}-{self.moment}"
        kept = note(CONTENTS, name)
        if kept is not None and len(kept) == _DIGITS and set(kept) <= set("0123456789abcdef"):
            return kept
        train, test = (
            tuple(_by_content(self.path, file) for file in files)
            for files in (self.listing.train, self.listing.test)
        )
        found = Listing(self.listing.classes, train, test).fingerprint()
        if self.settled:
            keep_note(CONTENTS, name, found)
        return found


def _by_content(path: Path, file: ImageFile) -> ImageFile:
    """Return an image with the stamp that it would have in a zip file."""
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
