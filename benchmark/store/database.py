"""The SQLite file of a store: its tables, and how it is opened.

Only files that are stores are written to, and reading a store leaves no trace.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.databases import BESIDE, database_beside
from palimpsest.benchmark.files.untrusted import opened
from palimpsest.benchmark.store.access import (
    AS_A_COPY,
    AS_IT_IS,
    State,
    copied,
    is_filled,
    is_writable,
    reading,
    require_writable,
    state,
)
from palimpsest.benchmark.store.connection import PATIENCE, Connection, connect
from palimpsest.benchmark.store.schema import SCHEMA_VERSION, TABLES, make_tables, version_of

DAMAGED = (
    "the store is damaged",
    "restore it from a copy, or move it away and run its suites again",
)
"""The error and the advice, for `user_errors`."""

_HEADER = b"SQLite format 3\0"


@dataclass(frozen=True)
class Database:
    """An open file.

    Attributes:
        path: The file.
        connection: The connection to it.
        is_empty: Whether its tables are still missing.
        seen: The file's state when it was opened, if it is read without locks.
    """

    path: Path
    connection: Connection
    is_empty: bool
    seen: State | None

    def is_current(self) -> bool:
        """Whether what was read is consistent: no other process wrote in the meantime."""
        try:
            return self.seen is None or self.seen == state(self.path)
        except FileNotFoundError:
            return True  # it existed while it was open


def open_database(
    path: Path, columns: Collection[str], *, write: bool, patience: float = PATIENCE
) -> Database:
    """Open a store's file.

    Opening a file for reading changes no byte of it, nor of a log that a killed process
    left.

    Args:
        path: The file.
        columns: Those of the table of runs.
        write: Open it for writing, and make the file where there is none.
        patience: Seconds that it waits for other processes.

    Raises:
        UserError: The file is missing, not a store, damaged or of a newer version; or it is to be
            written and cannot be, for example because its name, or one next to it, belongs to
            another database.
    """
    purpose = "written" if write else "read"
    with user_errors(path, f"the store cannot be {purpose}", "fix that, or name another one"):
        refuse_others(path, write=write)
        mode = "mode=rwc" if write else reading(path)
        seen = state(path) if mode in {AS_IT_IS, AS_A_COPY} else None
        if mode == AS_A_COPY:
            connection = copied(path)
        else:  # SQLite keeps FILE-wal next to the file itself, wherever links to it are
            name = f"{path.resolve().as_uri()}?{mode}"
            connection = connect(name, patience)
        try:
            connection.execute("BEGIN")  # another process may be making the tables just now
            is_empty = _check(connection, path, columns)
            connection.rollback()
            if write:
                connection.guard = partial(require_writable, path)
                _prepare(connection)
                is_empty = False
            else:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    return Database(path, connection, is_empty, seen)


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a file has a table.

    Views and virtual tables are none: reading them may run anything, and they take no runs.
    """
    there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name = ?"
    return connection.execute(there, [name]).fetchone() is not None


@contextmanager
def user_errors(path: Path, what: str, advice: str) -> Iterator[None]:
    """Turn SQLite's errors about a file into a ``UserError``, except errors by wrong statements."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        if not isinstance(error, sqlite3.OperationalError):  # the content is wrong, not the access
            what, advice = DAMAGED
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: {what} ({reason}); {advice}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {DAMAGED[0]} (text that is not UTF-8); {DAMAGED[1]}") from error


def _check(connection: sqlite3.Connection, path: Path, columns: Collection[str]) -> bool:
    """Refuse other files than stores, and return whether the tables are still missing."""
    version = check_version(connection, path)
    if version < 0:
        raise UserError(f"{path}: {DAMAGED[0]} (its version is {version}); {DAMAGED[1]}")
    found = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
    if version:
        ours = found >= set(columns) and all(has_table(connection, name) for name in TABLES)
    else:  # a store whose tables are still to be made
        ours = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not ours:
        raise UserError(f"{path}: a database, but not a Palimpsest store; name another one")
    return version == 0


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a store.

    Raises:
        UserError: It is newer than this program.
    """
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path}: written by a newer Palimpsest (store format {version}, this one reads "
            f"{SCHEMA_VERSION}); upgrade palimpsest-bench"
        )
    return version


def _prepare(connection: sqlite3.Connection) -> None:
    """Check that runs can be written, before anything is trained."""
    (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise sqlite3.DatabaseError(state)
    if version_of(connection) == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        make_tables(connection)
    connection.execute("BEGIN IMMEDIATE")  # succeeds on a read-only file, too
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.rollback()


def refuse_others(path: Path, *, write: bool) -> None:
    """Refuse files that are neither databases nor empty, before SQLite opens them.

    Args:
        path: The file.
        write: Whether it is to be written, and made where there is none.

    Raises:
        UserError: Says what it is, and what to do.
    """
    base = database_beside(path) if write else None
    if base:
        raise UserError(
            f"{path}: this name is reserved for the database {base} beside it; name another store"
        )
    for suffix in BESIDE:
        beside = Path(f"{os.path.realpath(path)}{suffix}")
        if beside.exists() and not beside.is_file():
            raise UserError(f"{beside}: this is not a regular file; move it away")
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise UserError(f"{path}: this is a folder; name a results database, such as runs.db")
        if not stat.S_ISREG(kind):
            raise UserError(f"{path}: this is not a regular file; name a results database")
        with opened(path) as file:
            start = file.read(len(_HEADER))
    except FileNotFoundError:
        if write:
            _refuse_leftovers(path)
            return
        raise UserError(
            f"{path}: there is no store here; 'palimpsest run SUITE --store {path}' creates one"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path}: the store cannot be opened ({error.strerror}); fix that, or name another one"
        ) from error
    if start and start != _HEADER:
        raise UserError(f"{path}: not a Palimpsest store, nor an SQLite database; name another one")
    if write and not is_writable(path):
        raise UserError(f"{path}: the store is read-only; change that, or name another one")


def _refuse_leftovers(path: Path) -> None:
    """Refuse a new store next to the log of an old one, which SQLite would delete with its runs."""
    for suffix in BESIDE:
        if suffix != "-shm" and is_filled(path, suffix) and not path.exists():
            raise UserError(
                f"{path}: there is no store here, but {path.resolve().name}{suffix}, which a "
                "new store would delete; put its store back beside it, move it away, or name "
                "another one"
            )
