"""Finds damage in a store's file, and reads as many of its runs as possible, without writing it.

A copy is examined, with its log. If the file was cut off, the copy has empty pages at its end. Rows
are read in ranges; a range that cannot be read is halved, down to the rows of a damaged page.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.untrusted import parsed
from palimpsest.benchmark.runs.record import (
    COLUMNS,
    JSON_COLUMNS,
    Record,
    record_of,
    with_references,
)
from palimpsest.benchmark.store.access import copy_with_log, is_filled
from palimpsest.benchmark.store.archive import is_archive
from palimpsest.benchmark.store.database import check_version, has_table, refuse_others
from palimpsest.benchmark.store.unsaved_runs import UnsavedRuns, unsaved_runs
from palimpsest.benchmark.suites.note import COLUMNS as SUITE_COLUMNS
from palimpsest.benchmark.suites.note import SuiteNote, note_of

_SMALLEST_ROW = 64
"""Bytes; bounds how many rows a file can have."""

_UNREADABLE = (sqlite3.DatabaseError, UnicodeError)

_MOST_TIMES = 1_000
"""A file's header may ask for this many times what is there; more is damage of the header."""


@dataclass
class IntegrityReport:
    """The content of a store, and its problems.

    Attributes:
        records: The readable runs, in the order of writing.
        suites: The notes of its suites.
        problems: The problems, in sentences.
        unsaved: The runs in files next to the store.
        missing: Whether the store's file is missing, and only runs next to it exist.
    """

    records: list[Record] = field(default_factory=list)
    suites: list[SuiteNote] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unsaved: UnsavedRuns = field(default_factory=lambda: UnsavedRuns({}, ()))
    missing: bool = False


def examine(path: Path) -> IntegrityReport:
    """Examine a store, however damaged.

    Args:
        path: The results database.

    Raises:
        UserError: It is missing and no run is next to it; it is not a database, another program's,
            of a newer version, or cannot be read.
    """
    if is_archive(path):
        raise UserError(
            f"{path}: this is an archive; 'palimpsest list runs --store {path}' reads it"
        )
    found = IntegrityReport(unsaved=unsaved_runs(path))
    found.missing = bool(found.unsaved.runs) and not os.path.lexists(path)
    if found.missing:
        found.problems += ["there is no store here, only runs beside it", *found.unsaved.refused]
        return found
    refuse_others(path, write=False)
    found.problems += found.unsaved.refused
    with _copy(path, found) as connection:
        _examine(connection, path, found)
    return found


@contextmanager
def _copy(path: Path, found: IntegrityReport) -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="palimpsest-") as folder:
        copy = Path(folder) / "copy.db"
        try:
            copy_with_log(path, copy)
        except OSError as error:
            raise UserError(
                f"{path}: the store cannot be examined, as it has to be copied first "
                f"({error.filename}: {error.strerror}); fix that"
            ) from error
        _fill(copy, found)
        with closing(sqlite3.connect(copy)) as connection:
            yield connection


def _fill(copy: Path, found: IntegrityReport) -> None:
    """Extend a file that was cut off to its old length."""
    with copy.open("r+b") as file:
        header = file.read(100)
        there = os.fstat(file.fileno()).st_size
        page = int.from_bytes(header[16:18], "big")
        whole = (65_536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
        if there < whole <= _MOST_TIMES * max(there, 1) and not is_filled(copy, "-wal"):
            found.problems.append(
                f"the file was cut off: {there:,} of its {whole:,} bytes are there"
            )
            file.truncate(whole)


def _examine(connection: sqlite3.Connection, path: Path, found: IntegrityReport) -> None:
    try:
        check_version(connection, path)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        tables = {name for name in names if has_table(connection, name)}
    except _UNREADABLE as error:
        found.problems.append(f"nothing of it can be read ({_reason(error)})")
        return
    if not names:
        return
    if "runs" not in tables:
        raise UserError(f"{path}: a database, but not a Palimpsest store; name another one")
    faults = _faults(connection)
    if faults != ["ok"]:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        found.problems.append(f"the database is damaged ({' '.join(faults[0].split())}{more})")
    _read_runs(connection, found)
    _read_suites(connection, found)


def _faults(connection: sqlite3.Connection) -> list[str]:
    """Return the problems that SQLite finds; only ``ok`` if there are none."""
    faults = []
    try:
        for (fault,) in connection.execute("PRAGMA integrity_check"):
            faults.append(fault)
    except _UNREADABLE as error:
        faults.append(_reason(error))
    return faults


def _read_runs(connection: sqlite3.Connection, found: IntegrityReport) -> None:
    try:
        there = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
    except _UNREADABLE as error:
        found.problems.append(f"no run can be read: its columns cannot ({_reason(error)})")
        return
    missing = set(COLUMNS) - there
    if missing:
        found.problems.append(f"no run can be read: columns are missing ({', '.join(missing)})")
        return
    records: dict[str, Record] = {}
    lost = 0
    for row in _rows(connection, COLUMNS):
        if row is None:
            lost += 1
            continue
        try:
            record = _record(dict(zip(COLUMNS, row, strict=True)))
        except (TypeError, ValueError) as error:
            found.problems.append(f"run {row[0]!r} cannot be read ({error})")
        else:
            records[record.key] = record
    if lost:
        found.problems.append(
            f"{lost} places where rows may have been cannot be read"
            if lost > 1
            else "1 place where a row may have been cannot be read"
        )
    found.records = with_references(list(records.values()))


def _record(values: dict[str, Any]) -> Record:
    record = record_of(values | {name: parsed(values[name]) for name in JSON_COLUMNS})
    if record.key != record.spec.key():
        raise ValueError("its key does not fit its settings")
    return record


def _rows(
    connection: sqlite3.Connection, columns: Sequence[str]
) -> Iterator[tuple[Any, ...] | None]:
    """Yield all readable rows, and ``None`` for each unreadable row number."""
    ranges = [(0, _last(connection))]
    query = f"SELECT {', '.join(columns)} FROM runs WHERE rowid BETWEEN ? AND ?"
    while ranges:
        low, high = ranges.pop()
        try:
            rows = connection.execute(query, (low, high)).fetchall()
        except _UNREADABLE:
            if low == high:
                yield None
            else:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]
        else:
            yield from rows


def _last(connection: sqlite3.Connection) -> int:
    """Return the highest row number, or an upper bound."""
    for query in (
        "SELECT max(rowid) FROM runs",
        "SELECT max(rowid) FROM (SELECT rowid FROM runs INDEXED BY runs_by_cell)",
        "SELECT max(rowid) FROM (SELECT rowid FROM runs INDEXED BY sqlite_autoindex_runs_1)",
    ):
        try:
            (last,) = connection.execute(query).fetchone()
        except _UNREADABLE:
            continue
        return int(last or 0)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * size // _SMALLEST_ROW)


def _read_suites(connection: sqlite3.Connection, found: IntegrityReport) -> None:
    try:
        query = f"SELECT {', '.join(SUITE_COLUMNS)} FROM suites ORDER BY rowid"
        rows = connection.execute(query).fetchall()
    except _UNREADABLE as error:
        found.problems.append(f"what it says of suites cannot be read ({_reason(error)})")
        return
    for row in rows:
        try:
            found.suites.append(note_of(dict(zip(SUITE_COLUMNS, row, strict=True))))
        except ValueError as error:
            found.problems.append(f"suite {row[0]!r} cannot be read ({error})")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
