"""The files of a text and how it is split, found without reading them and without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from palimpsest.benchmark.data.paths import EXPECTED_TEXT
from palimpsest.benchmark.errors import UserError

SPLITS = ("train", "valid", "test")

_LAYOUTS = ("{}.txt", "ptb.{}.txt", "wiki.{}.tokens")
"""The names of a folder's files: all of them follow one of these."""

CUT = 10
"""A missing split takes one of so many lines."""


@dataclass(frozen=True)
class TextFiles:
    """The files of a text.

    A split without a file is cut from the end of the text to train on: of n lines, the last
    ``n // 10`` are tested on, and those before them are to validate on. Where there is no file to
    train on, the one to validate on takes its place, or else the one to test on.

    Attributes:
        folder: Where they are.
        train: The file to train on, all of it or up to what is cut off.
        valid: The file to validate on; ``None`` if it is cut from the other.
        test: The file to test on; likewise.
    """

    folder: Path
    train: Path
    valid: Path | None
    test: Path | None

    @property
    def missing(self) -> tuple[str, ...]:
        """The splits that are cut from the text to train on, in the order of the lines."""
        own = {"valid": self.valid, "test": self.test}
        return tuple(split for split, file in own.items() if file is None)

    def told(self, name: str) -> str | None:
        """Return how missing splits of the data set of a name are made; ``None`` if none is."""
        if not self.missing:
            return None
        before = ", the tenth before it to validate on" if len(self.missing) > 1 else ""
        return (
            f"data set {name!r} does not have a file for each of {', '.join(SPLITS)}: the last "
            f"tenth of the lines of {self.train.name} is to {_PURPOSES[self.missing[-1]]}{before}, "
            "and the rest to train on, so that perplexities are not comparable with published ones"
        )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with the name or content of any file.

        They do not change with its time or place, so that runs on a text are found again on another
        machine. All files are read.

        Raises:
            UserError: A file cannot be read.
        """
        return self._digest(_content)

    def stamp(self) -> str:
        """Return such digits that change with the name, size or time of any file, unread.

        Raises:
            UserError: A file cannot be read.
        """
        return self._digest(_size_and_time)

    def _digest(self, of: Callable[[Path], str]) -> str:
        digest = hashlib.sha256()
        for file in (self.train, self.valid, self.test):
            if file is None:
                digest.update(b"none\n")
                continue
            try:
                digest.update(f"{file.name}\0{of(file)}\n".encode())
            except OSError as error:
                raise unreadable(file, error) from None
        return digest.hexdigest()[:16]


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _size_and_time(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


_PURPOSES = {"valid": "validate on", "test": "test on"}


def find_text(folder: Path) -> TextFiles:
    """Find the files of a text in a folder.

    They are ``train.txt``, ``valid.txt`` and ``test.txt``, or ``ptb.train.txt`` and so on, or
    ``wiki.train.tokens`` and so on; one of them is enough, see `TextFiles`.

    Raises:
        UserError: There is no such folder, or none of these files in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: expected {EXPECTED_TEXT}")
    for layout in _LAYOUTS:
        files = {split: folder / layout.format(split) for split in SPLITS}
        there = {split: file for split, file in files.items() if file.exists()}
        for file in there.values():
            if not file.is_file():
                raise UserError(f"{file} is no file of text: replace or remove it")
        if there:
            stands_for_train = next(iter(there))
            train = there.pop(stands_for_train)
            return TextFiles(folder, train, there.get("valid"), there.get("test"))
    raise UserError(f"{folder} has no text in it: expected {EXPECTED_TEXT}")


def unreadable(file: Path, error: OSError) -> UserError:
    """Return the error to raise for a file that the system does not let us read."""
    return UserError(f"{file} cannot be read ({error.strerror}): replace it, or change its rights")
