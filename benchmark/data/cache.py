"""The user's cache: notes and decoded images that are kept between commands.

A file that cannot be read, or is another user's, is made anew. Where nothing can be written,
nothing is kept. Importing this needs no torch.
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
"""The environment variable with the GB of decoded images to keep; 0 for none."""

CONTENTS, INSPECTED, DECODED = "contents", "inspected", "decoded"
"""The folders for hashes of image folders, for results of checks, and for decoded images."""

STRATEGIES = "strategies"
"""The folder for the catalogue of strategies."""

_FOLDERS = (CONTENTS, INSPECTED, DECODED, STRATEGIES)
_DEFAULT_LIMIT = 10.0
_MOST_BYTES_OF_A_NOTE = 2**20
_RIGHT = "right"
_TEMPORARY = ".tmp"
_SECONDS_OF_A_WRITER = 24 * 3600
"""Older unfinished files belong to processes that have ended."""

_GRAIN = 2 * 10**9
"""Nanoseconds that a file system may round times to: a younger file may change unnoticed."""


@dataclass(frozen=True)
class FolderUse:
    """One of the folders, with the number of its files and their bytes."""

    folder: Path
    files: int
    size: int


def cache_folder() -> Path:
    """Return the folder of the cache; it need not exist."""
    return user_cache_path("palimpsest")


def limit() -> int:
    """Return the most bytes of decoded images that are kept.

    Raises:
        UserError: The environment variable is not a number of GB.
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
    """Whether size and time identify files: not if one has just been changed.

    Args:
        times: When they were changed, in nanoseconds.
        began: When the look at them began, likewise.
    """
    return all(changed < began - _GRAIN for changed in times)


def note(folder: str, name: str) -> str | None:
    """Return a kept text; ``None`` if there is none that can be trusted."""
    with contextlib.suppress(OSError, UnicodeDecodeError), opened(folder, name) as file:
        return os.read(file, _MOST_BYTES_OF_A_NOTE).decode("utf-8")
    return None


def keep_note(folder: str, name: str, text: str) -> None:
    """Keep a text, if possible."""
    keep(folder, name, [text.encode()])


def check_once(name: str, files: Iterable[Path], check: Callable[[], object]) -> None:
    """Check files, unless an earlier command found the same files to be right.

    Args:
        name: The name of the check.
        files: The files; they are known by path, size and time.
        check: Raises an error if something is wrong.

    Raises:
        UserError: The size of a file cannot be read.
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
    """Open a kept file, and mark it as used.

    Raises:
        OSError: There is none, or it is another user's, or not a plain file.
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
    """Keep a file, if possible, and return whether it is: others see it whole or not at all."""
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
    """Remove the decoded images that were used longest ago, until there is room for new ones.

    Args:
        size: The bytes of the new ones.

    Returns:
        Whether there is room: within the limit, and in half of the free space of the disk.
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
    """Return the folders of the cache and their sizes, without downloaded data sets."""
    return [
        FolderUse(path, len(files), sum(status.st_size for _, status in files))
        for path in (cache_folder() / name for name in _FOLDERS)
        for files in [list(_files(path))]
    ]


def clear() -> None:
    """Empty the cache; downloaded data sets stay.

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
