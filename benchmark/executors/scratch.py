"""Folders through which the jobs of an executor on this machine share files.

What is in them only saves time and memory: where there is none, or no space, every job does for
itself what it would have taken over.

A folder belongs to the process that holds the lock on a file in it. The system releases the lock
however the process ends, so that the next one sees which folders are abandoned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmark.errors import UserError

_PREFIX = "palimpsest-"
_LOCK = "owner"
_ENOUGH = 1 << 30
"""Bytes that data sets and first models mostly need."""


class WithScratch:
    """An executor with a scratch folder, which is removed when the executor ends.

    Args:
        base: Where to make it; ``None`` for the system's folder of temporary files. What processes
            that were killed have left there is removed.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._scratch: Path | None = None
        self._lock: IO[bytes] | None = None
        with contextlib.suppress(OSError):
            base = base or Path(tempfile.gettempdir())
            _remove_abandoned(base)
            self._scratch, self._lock = _make(base)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._scratch is not None and self._lock is not None:
            _remove(self._scratch)
            self._lock.close()


def check_scratch(base: Path) -> None:
    """Refuse a folder that the user named and that cannot be used.

    Raises:
        UserError: Says why.
    """
    if not base.is_dir():
        raise UserError(f"scratch folder {base}: there is no such folder; create it first")
    if not os.access(base, os.W_OK | os.X_OK):
        raise UserError(f"scratch folder {base}: you may not write there; choose another")


def scratch_warning(base: Path | None) -> str | None:
    """Return a sentence where there is little space for scratch files, else ``None``.

    Args:
        base: As for ``WithScratch``.
    """
    try:
        base = base or Path(tempfile.gettempdir())
        free = shutil.disk_usage(base).free
    except OSError as error:
        return f"no folder for scratch files ({error}): every run reads its data for itself"
    if free >= _ENOUGH:
        return None
    return (
        f"only {free >> 20} MB are free for scratch files in {base}: runs may have to read "
        "data and train first models each for itself; --scratch names another folder"
    )


def _make(base: Path) -> tuple[Path, IO[bytes]]:
    """Make a folder and lock it.

    Raises:
        OSError: There is no space, or it may not be written.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        try:
            lock = (folder / _LOCK).open("wb")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        except OSError:
            _remove(folder)
            raise
        if (folder / _LOCK).exists():
            return folder, lock
        lock.close()  # another process took it for abandoned, before it was locked


def _remove_abandoned(base: Path) -> None:
    """Remove the folders whose processes have ended."""
    for folder in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just removed
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            if not (folder / _LOCK).exists():
                folder.rmdir()  # if it is empty: its process was killed before it had a lock
            with (folder / _LOCK).open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last: until then it can be seen to be abandoned."""
    with contextlib.suppress(OSError):
        # Under another name, nothing appears in it that an orphaned worker is about to write.
        folder = folder.rename(folder.with_name(f"{folder.name}-"))
        for path in folder.iterdir():
            if path.name != _LOCK:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
