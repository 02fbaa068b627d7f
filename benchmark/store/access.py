"""Access to a database: the files that SQLite keeps next to it, and reading it without changes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.databases import BESIDE
from palimpsest.benchmark.store.connection import Connection, connect

AS_IT_IS = "mode=ro&immutable=1"
AS_A_COPY = "a copy"

State = tuple[int, int, int, int, int]

_TRIES = 20
"""How often to copy a database that changes during the copy."""


def reading(path: Path) -> str:
    """Choose how SQLite may read.

    A file that nobody is writing is read as it is, without locks, which would need helper files
    beside it, and so the permission and the space to write. A file with a write-ahead log beside it
    has to be read together with the log: not by "mode=rw", which on closing moves the log into the
    file. SQLite reads the log through an index beside it, which it makes where there is none; where
    it cannot (another user's folder, a read-only disk), file and log are copied. A journal is left
    by an interrupted write, which has to be rolled back in the file.
    """
    if is_filled(path, "-wal"):
        index = Path(f"{path.resolve()}-shm")
        usable = os.access(index, os.R_OK, effective_ids=True)
        return "mode=ro" if usable or is_writable(index.parent) else AS_A_COPY
    if not is_filled(path, "-journal"):
        return AS_IT_IS
    writable = is_writable(path) and is_writable(path.resolve().parent)
    return "mode=rw" if writable else "mode=ro"


def copied(path: Path) -> Connection:
    """Return a store in memory, with the content of its log."""
    whole = connect("file::memory:")
    try:
        with tempfile.TemporaryDirectory(prefix="palimpsest-") as folder:
            copy = Path(folder) / "copy.db"
            copy_with_log(path, copy)
            with closing(sqlite3.connect(copy)) as connection:
                connection.backup(whole)
    except OSError as error:
        raise UserError(
            f"{path}: the store cannot be read, as its log beside it has to be copied first "
            f"({error.filename}: {error.strerror}); fix that, or name another one"
        ) from error
    return whole


def copy_with_log(path: Path, copy: Path) -> None:
    """Copy a database together with its log.

    Where another process writes meanwhile, or moves the log into the database and removes it, they
    are copied again.

    Args:
        path: The database.
        copy: Its copy, which must not exist yet; its log is next to it if there is one.

    Raises:
        OSError: They cannot be read, or copied, or never stood still.
    """
    for _ in range(_TRIES):
        before = state(path)
        shutil.copyfile(path.resolve(), copy)
        log = Path(f"{copy}-wal")
        log.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path.resolve()}-wal", log)
        if state(path) == before:
            return
    raise OSError(0, "another process writes all the time", str(path))


def state(path: Path) -> State:
    """Return a value that changes when another process writes."""
    found = path.stat()
    log = Path(f"{path.resolve()}-wal")
    beside = (log.stat().st_mtime_ns, log.stat().st_size) if is_filled(path, "-wal") else (0, 0)
    return found.st_ino, found.st_mtime_ns, found.st_size, *beside


def is_filled(path: Path, suffix: str) -> bool:
    """Whether a file that SQLite keeps next to a database has content."""
    beside = Path(f"{path.resolve()}{suffix}")
    return beside.is_file() and beside.stat().st_size > 0


def is_writable(path: Path) -> bool:
    """Whether this user may write a file, or into a folder."""
    return os.access(path, os.W_OK, effective_ids=True)


def require_writable(path: Path) -> None:
    """Refuse to write into a database that may not be written any more, such as one made immutable.

    SQLite maps a file next to it into memory, so that writing would end the process (SIGBUS).

    Raises:
        sqlite3.OperationalError: Names the file.
    """
    for file in (path, *(Path(f"{path.resolve()}{suffix}") for suffix in BESIDE)):
        if file.exists() and not is_writable(file):
            raise sqlite3.OperationalError(
                f"{file.name} was writable and is not any more: was it made immutable or read-only?"
            )


def left_open(path: Path, connection: Connection) -> bool:
    """Leave a connection open if closing it would write where nothing may be written any more.

    It stays open until the process has ended.
    """
    try:
        require_writable(path)
    except sqlite3.OperationalError:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        return True
    return False
