"""Folders in which the jobs of an executor on this machine share files.

The files only save time and memory. Without a folder, or without space, every job loads its data
and trains its first model itself.

A folder belongs to the process that holds the lock on a file in it. The system always releases the
lock of an ended process, so the next process can find abandoned folders.
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

from palimpsest.benchmark.errors import UserError

_PREFIX = "palimpsest-scratch-"
"""Used only here: an empty folder with this prefix may be removed as abandoned."""
_LOCK = "owner"
_ENOUGH = 1 << 30
"""Bytes that are usually sufficient for data sets and first models."""


class WithScratch:
    """An executor with a scratch folder, which is removed when the executor ends.

    Args:
        base: The parent of the folder; ``None`` for the system's folder of temporary files. Folders
            of killed processes there are removed.
        shared: An existing folder to use instead, which is not removed.
    """

    def __init__(self, base: Path | None = None, shared: Path | None = None) -> None:
        self._scratch = shared
        self._lock: IO[bytes] | None = None
        if shared is not None:
            return
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


class NodeScratch:
    """The scratch folder of one suite on one node, which all its processes there share.

    It belongs to all processes that hold a shared lock on the file in it. If no folder can be made,
    processes work without one.

    Args:
        name: Of the suite and the node; equal for all processes that share the folder.
        base: The parent of the folder; ``None`` for the system's folder of temporary files.

    Attributes:
        folder: The folder, or ``None``.
    """

    def __init__(self, name: str, base: Path | None = None) -> None:
        self.folder: Path | None = None
        self._lock: IO[bytes] | None = None
        with contextlib.suppress(OSError):
            base = base or Path(tempfile.gettempdir())
            folder = base / f"{_PREFIX}{name}"
            if not folder.exists():
                _remove_abandoned(base)
            self._lock = _join(folder)
            self.folder = folder

    def leave(self) -> None:
        """Release the folder; the last process removes it."""
        if self.folder is None or self._lock is None:
            return
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(self.folder)
        self._lock.close()
        self.folder = None


def remove_node_scratch(name: str, base: Path | None = None) -> None:
    """Remove the folder of a ``NodeScratch`` whose processes have ended or will end soon."""
    with contextlib.suppress(OSError):
        folder = (base or Path(tempfile.gettempdir())) / f"{_PREFIX}{name}"
        if folder.stat().st_uid == os.getuid():
            _remove(folder)


def check_scratch(base: Path) -> None:
    """Refuse an unusable folder of the user.

    Raises:
        UserError: Says why.
    """
    if not base.is_dir():
        raise UserError(f"scratch folder {base}: there is no such folder; create it first")
    if not os.access(base, os.W_OK | os.X_OK):
        raise UserError(f"scratch folder {base}: you may not write there; choose another")


def scratch_warning(base: Path | None) -> str | None:
    """Return a warning if there is little space for scratch files, else ``None``.

    Args:
        base: As for ``WithScratch``.
    """
    try:
        base = base or Path(tempfile.gettempdir())
        free = shutil.disk_usage(base).free
    except OSError as error:
        return f"no folder for scratch files ({error}): every run reads its own data"
    if free >= _ENOUGH:
        return None
    return (
        f"only {free >> 20} MB are free for scratch files in {base}: each run may have to read "
        "its own data and train its own first model; --scratch names another folder"
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
        lock.close()  # another process removed it as abandoned before it was locked


def _join(folder: Path) -> IO[bytes]:
    """Make a folder where there is none, and lock it together with others.

    Raises:
        OSError: There is no space, it may not be written, or it is another user's.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(0, "another user's")
        try:
            lock = (folder / _LOCK).open("ab")
            fcntl.flock(lock, fcntl.LOCK_SH)
        except FileNotFoundError:
            continue
        if (folder / _LOCK).exists():
            return lock
        lock.close()  # another process removed it as abandoned before it was locked


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
    """Remove a folder, its lock last, so that a partly removed folder counts as abandoned."""
    with contextlib.suppress(OSError):
        # Renamed first, so that an orphaned worker cannot write new files into it.
        folder = folder.rename(folder.with_name(f"{folder.name}-"))
        for path in folder.iterdir():
            if path.name != _LOCK:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
