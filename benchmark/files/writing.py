"""Writes a command's files: completely or not at all, and only over its own earlier ones.

All commands except ``run`` write through this module. A store has rules of its own (see
``benchmark/store/database.py``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.databases import database_beside

_START = 2048
"""Bytes at the beginning of a file that show its kind."""


@dataclass(frozen=True)
class FileKind:
    """A kind of file that a command writes, and may replace.

    Attributes:
        command: What writes them, ``report`` for ``palimpsest report``.
        start: Matches the beginning of such a file.
        listed: If the beginning does not show who wrote a file (a PNG is a PNG): returns the names
            of the files in a folder that the command wrote.
        marked: If the mark is not at the beginning: whether a file has it.
    """

    command: str
    start: re.Pattern[bytes]
    listed: Callable[[Path], Collection[str]] | None = None
    marked: Callable[[Path], bool] | None = None

    def has(self, path: Path) -> bool:
        """Whether a file is of this kind, or empty.

        Raises:
            OSError: It cannot be read.
        """
        with path.open("rb") as file:
            start = file.read(_START)
        if not start:
            return True
        if self.listed and path.name not in self.listed(path.parent):
            return False
        if self.marked and not self.marked(path):
            return False
        return self.start.match(start) is not None


@dataclass(frozen=True)
class Output:
    """A file to be written.

    Attributes:
        path: Where to write; its folder is created if missing.
        content: What it holds.
        kind: What may already be there; ``None``: nothing.
    """

    path: Path
    content: bytes
    kind: FileKind | None


def check_output(path: Path, kind: FileKind | None, inputs: Iterable[Path] = ()) -> Path:
    """Refuse a path where writing would destroy something.

    Args:
        path: Where a file is to be written.
        kind: What may already be there; ``None``: nothing.
        inputs: The files that the command reads.

    Returns:
        The file itself, if ``path`` is a symbolic link.

    Raises:
        UserError: One of the inputs is there (by whatever name), or a file that the command did not
            write; or the name is reserved for a database.
    """
    with _user_errors(path):
        for given in inputs:
            if _same(path, given):
                raise UserError(
                    f"{path}: this would write over {given}, which the command reads; name another "
                    "file"
                )
        target = path.resolve()
        base = database_beside(path)
        if base:
            raise UserError(
                f"{path}: this name is reserved for the database {base} beside it; name another "
                "file"
            )
        if kind is None and (path.exists() or path.is_symlink()):
            raise UserError(f"{path} already exists; choose another name, or move it away")
        if target.is_dir():
            raise UserError(f"{path}: this is a folder; name a file")
        if kind and target.exists():
            if not target.is_file() or not kind.has(target):
                raise UserError(
                    f"{path}: there is a file that 'palimpsest {kind.command}' did not write; move "
                    "it away, or name another file"
                )
            if not os.access(target, os.W_OK, effective_ids=True):
                raise UserError(f"{path}: this file is read-only; change that, or name another")
    return target


def write_files(outputs: Sequence[Output], inputs: Iterable[Path] = ()) -> None:
    """Write files, each under a temporary name beside its place, and then move all of them there.

    Whatever fails, earlier files stay as they are and nothing is left behind. A file keeps its
    mode, and a symbolic link stays one.

    Args:
        outputs: What to write.
        inputs: The files that the command reads.

    Raises:
        UserError: As ``check_output``; or two of them are the same file, or one cannot be written.
    """
    targets = [check_output(output.path, output.kind, inputs) for output in outputs]
    for place, target in enumerate(targets):
        if target in targets[:place]:
            raise UserError(f"{outputs[place].path}: two files would be written here; name another")
    folders: list[Path] = []
    temporaries: list[Path] = []
    done = False
    try:
        for output, target in zip(outputs, targets, strict=True):
            with _user_errors(output.path):
                _make_folder(target.parent, folders)
                temporaries.append(target.with_name(f".palimpsest-{token_hex(8)}.tmp"))
                _write(temporaries[-1], output.content)
                if target.exists():
                    temporaries[-1].chmod(target.stat().st_mode & 0o7777)
        for output, target, temporary in zip(outputs, targets, temporaries, strict=True):
            with _user_errors(output.path):
                temporary.replace(target)
        done = True
    finally:
        for temporary in temporaries:
            with suppress(OSError):  # it was moved, or never created
                temporary.unlink()
        for folder in [] if done else reversed(folders):
            with suppress(OSError):  # something is in it by now
                folder.rmdir()


def _same(path: Path, given: Path) -> bool:
    """Whether two paths are one file, by links of any kind or on a case-insensitive file system."""
    return path.exists() and given.exists() and path.samefile(given)


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        made.append(each)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # some file systems report only now that they are full


@contextmanager
def _user_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors about a file into one sentence."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter: a loop of links, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be written ({reason}); fix that, or name another file"
        ) from error
