"""What is kept between commands, in the user's cache: notes, and decoded images.

Whatever cannot be read, or is not this user's, is made anew; where nothing can be written, nothing
is kept. Needs no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from platformdirs import user_cache_path

from palimpsest.benchmark.errors import UserError

LIMIT = "PALIMPSEST_CACHE_GB"
"""The environment variable that says how many GB of decoded images are kept; 0 for none."""

CONTENTS, INSPECTED, DECODED = "contents", "inspected", "decoded"
"""What there is: of what content folders are, what was found in data sets, and decoded images."""

STRATEGIES = "strategies"
"""And what listings say of strategies."""

_FOLDERS = (CONTENTS, INSPECTED, DECODED, STRATEGIES)
_DEFAULT_LIMIT = 10.0
_MOST_BYTES_OF_A_NOTE = 2**20
_RIGHT = "right"
_TEMPORARY = ".tmp"
_SECONDS_OF_A_WRITER = 24 * 3600
"""After which a file that was begun is of a process that has ended."""

_GRAIN = 2 * 10**9
"""Nanoseconds that a file system may round times to: what is younger may change unnoticed."""


@dataclass(frozen=True)
class FolderUse:
    """What one of the folders takes.

    Attributes:
        folder: Which.
        files: How many files it has.
        size: Their bytes.
    """

    folder: Path
    files: int
    size: int


def cache_folder() -> Path:
    """Return the folder that holds everything; it need not exist."""
    return user_cache_path("palimpsest")


def limit() -> int:
    """Return how many bytes of decoded images are kept.

    Raises:
        UserError: The environment variable is no number of GB.
    """
    given = os.environ.get(LIMIT, "").strip()
    try:
        found = float(given) if given else _DEFAULT_LIMIT
        return int(found * 1e9) if found >= 0 else int("negative")
    except (ValueError, OverflowError):
        raise UserError(
            f"{LIMIT} is {given!r}: expected how many GB of decoded images are kept, 0 for none"
        ) from None


def settled(times: Iterable[int], began: int) -> bool:
    """Whether files can be known by their size and time: not if they are as good as new.

    Args:
        times: When they were changed, in nanoseconds.
        began: When they were looked at, likewise.
    """
    return all(changed < began - _GRAIN for changed in times)


def note(folder: str, name: str) -> str | None:
    """Return a text that was kept; ``None`` if there is none that can be trusted."""
    with contextlib.suppress(OSError, UnicodeDecodeError), opened(folder, name) as file:
        return os.read(file, _MOST_BYTES_OF_A_NOTE).decode("utf-8")
    return None


def keep_note(folder: str, name: str, text: str) -> None:
    """Keep a text, if possible."""
    keep(folder, name, [text.encode()])


def check_once(name: str, files: Iterable[Path], check: Callable[[], object]) -> None:
    """Check data whose files have not been found to be right as they are now.

    Args:
        name: Of the check, without the files' sizes and times.
        files: What is checked.
        check: Raises an error for what is wrong.

    Raises:
        UserError: A file cannot be looked at.
    """
    began = time.time_ns()
    digest, times = hashlib.sha256(), []
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise UserError(f"{file} cannot be read ({error.strerror}): replace it") from None
        digest.update(
            f"{file.resolve()}\0{status.st_size} {status.st_mtime_ns}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
        times.append(status.st_mtime_ns)
    note_name = f"{name}-{digest.hexdigest()[:16]}"
    if note(INSPECTED, note_name) == _RIGHT:
        return
    check()
    if settled(times, began):
        keep_note(INSPECTED, note_name, _RIGHT)


@contextlib.contextmanager
def opened(folder: str, name: str) -> Iterator[int]:
    """Open a file that was kept, and count that as a use of it.

    Raises:
        OSError: There is none, or it is another user's, or no plain file.
    """
    file = os.open(cache_folder() / folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError("not a file of this user")
        with contextlib.suppress(OSError):  # of a file system that is read-only
            os.utime(file)
        yield file
    finally:
        os.close(file)


def keep(folder: str, name: str, parts: Iterable[bytes | memoryview]) -> bool:
    """Keep a file, all at once, so that other processes see it whole or not at all.

    Returns:
        Whether it was possible.
    """
    target = cache_folder() / folder / name
    temporary = target.with_name(f"{token_hex(8)}{_TEMPORARY}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            for part in parts:
                file.write(part)
        temporary.replace(target)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):  # it was moved, or never made
            temporary.unlink()
    return True


def make_room(size: int) -> bool:
    """Remove the decoded images that were used longest ago, until there is room for others.

    Args:
        size: Of the others, in bytes.

    Returns:
        Whether there is room: within the limit, and at most half of what is free on the disk.
    """
    most = limit()
    if size > most:
        return False
    folder = cache_folder() / DECODED
    kept = sorted(_files(folder), key=lambda found: found[1].st_mtime)
    total = sum(status.st_size for _, status in kept)
    for path, status in kept:
        left = path.suffix == _TEMPORARY and status.st_mtime < time.time() - _SECONDS_OF_A_WRITER
        if total + size > most or left:
            with contextlib.suppress(OSError):
                path.unlink()
                total -= status.st_size
    with contextlib.suppress(OSError):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        return total + size <= most and 2 * size <= shutil.disk_usage(there).free
    return False


def uses() -> list[FolderUse]:
    """Return what there is in the cache; downloaded data sets are not counted."""
    return [
        FolderUse(path, len(files), sum(status.st_size for _, status in files))
        for path in (cache_folder() / name for name in _FOLDERS)
        for files in [list(_files(path))]
    ]


def clear() -> None:
    """Remove what is in the cache; downloaded data sets stay.

    Raises:
        UserError: A file cannot be removed.
    """
    for name in _FOLDERS:
        for path, _ in _files(cache_folder() / name):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"{path}: cannot be removed ({error.strerror})") from error


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with contextlib.suppress(OSError):
        for entry in [*os.scandir(folder)]:
            with contextlib.suppress(OSError):  # another process has removed it
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield Path(entry.path), status
