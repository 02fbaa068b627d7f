"""The results database: one SQLite file with a row per run, a row per suite, and active runs.

A run is written once, in one transaction, when it has ended (done or failed), so that an
interruption never loses a finished run.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from palimpsest.benchmark.errors import UserError, quoted
from palimpsest.benchmark.files.untrusted import parsed
from palimpsest.benchmark.runs.record import (
    COLUMNS,
    JSON_COLUMNS,
    Record,
    columns_of,
    readable,
    record_of,
    with_references,
)
from palimpsest.benchmark.store.access import left_open
from palimpsest.benchmark.store.active_runs import (
    JOB_COLUMNS,
    PROCESS_COLUMNS,
    ActiveJob,
    End,
    Lease,
    SuiteProcess,
    lease_runs,
    processes_of,
)
from palimpsest.benchmark.store.connection import PATIENCE
from palimpsest.benchmark.store.database import (
    DAMAGED,
    Database,
    open_database,
    user_errors,
)
from palimpsest.benchmark.suites.note import COLUMNS as SUITE_COLUMNS
from palimpsest.benchmark.suites.note import SuiteNote, note_of
from palimpsest.benchmark.suites.note import columns_of as columns_of_suite

__all__ = ["ActiveJob", "Record", "Store", "SuiteNote", "SuiteProcess"]

_Row = TypeVar("_Row")

_LAST_WAIT = 0.5
"""Seconds that closing waits for readers."""

_IN_ORDER = "ORDER BY scenario, strategy, strength, seed, key"

_ADVICE = "free space on its disk, or end what locks it"


class Store:
    """Finished runs in one SQLite file (write-ahead log, so readers never block the writer).

    Opening a store for reading changes no byte of it.

    Args:
        path: The database file.
        create: Open it for writing, and make the file where there is none.
        patience: Seconds that it waits for other processes that write.

    Raises:
        UserError: The file is missing, not a store, damaged or of a newer version; or it is to be
            written and cannot be.
    """

    def __init__(
        self, path: Path | str, *, create: bool = False, patience: float = PATIENCE
    ) -> None:
        self.path = Path(path)
        self._write = create
        self._patience = patience
        self._file = self._open()
        self._place = _place(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. If it was open for writing, its log is moved into it.

        SQLite itself would do that only when the last process closes it, which may be a reader.
        """
        if self._write:
            if left_open(self.path, self._file.connection):
                return
            with contextlib.suppress(sqlite3.Error):
                self._file.connection.patience = _LAST_WAIT
                self._file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._file.connection.close()

    @contextlib.contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Limit the time of waiting for other processes that write."""
        connection = self._file.connection
        usual, connection.patience = connection.patience, seconds
        try:
            yield
        finally:
            connection.patience = usual

    @property
    def in_place(self) -> bool:
        """Whether the file that was opened is still the one of that name."""
        return self._place == _place(self.path)

    def put(self, record: Record) -> None:
        """Write a run; one with the same key is replaced (a failed run that was tried again).

        Raises:
            UserError: It cannot be written (a full disk); the runs before it are kept.
            ValueError: It holds a number that is not finite.
        """
        with self._writing("a run cannot be written"):
            self._insert(record)

    def put_suite(self, note: SuiteNote) -> None:
        """Write the note of a suite; the last note of a name counts.

        Raises:
            UserError: It cannot be written (a full disk); the runs are kept.
        """
        with self._writing("a suite cannot be written"):
            self._insert_suite(note)

    def put_all(self, records: Iterable[Record], notes: Iterable[SuiteNote]) -> None:
        """Write runs and notes of suites, all of them or none.

        Raises:
            UserError: They cannot be written (a full disk).
        """
        with self._writing("runs cannot be written"):
            for note in notes:
                self._insert_suite(note)
            for record in records:
                self._insert(record)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove runs, all of them or none.

        Raises:
            UserError: The file cannot be written.
        """
        with self._writing("runs cannot be removed"):
            self._file.connection.executemany(
                "DELETE FROM runs WHERE key = ?", [(key,) for key in keys]
            )

    def suites(self) -> list[SuiteNote]:
        """Return the notes of the suites in this store, in the order of their first run.

        Raises:
            UserError: The file is damaged.
        """
        return self._fresh(self._read_suites)

    def lease(self, keys: Sequence[str], process: str, lives: Callable[[str], bool]) -> Lease:
        """Lease runs for a process, unless another process has a lease of some of them.

        Args:
            keys: Of the runs, which are trained together.
            process: The id of the process.
            lives: Returns whether another process is still alive.

        Raises:
            UserError: It cannot be written (a full disk, a lock).
        """
        with self._without_the_disk(), self._writing("a run cannot be leased"):
            return lease_runs(self._file.connection, keys, process, lives)

    @contextlib.contextmanager
    def _without_the_disk(self) -> Iterator[None]:
        """Do not wait for the disk, since leases may be lost in a power cut."""
        connection = self._file.connection
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            connection.execute("PRAGMA synchronous = FULL")

    def record(self, key: str) -> Record:
        """Return one run, without its reference runs.

        Raises:
            UserError: The file is damaged, or the run cannot be read.
            IndexError: There is no such run.
        """
        found = self._fresh(lambda: self._read("WHERE key = ?", [key]))[0]
        if isinstance(found, UserError):
            raise found
        return found

    def ends(self) -> dict[str, End]:
        """Return the end of every run, by its key."""
        rows = self._fresh(lambda: self._rows("SELECT key, rowid, status FROM runs"))
        return {key: End(row, status) for key, row, status in rows}

    def leases(self) -> dict[str, str]:
        """Return the id of the process that has a lease of a run, by the run's key."""
        return dict(self._fresh(lambda: self._rows("SELECT key, process FROM leases")))

    def statuses(self) -> dict[str, str]:
        """Return the status of every stored run by its key."""
        return dict(self._fresh(lambda: self._rows("SELECT key, status FROM runs")))

    def peak_memory(self) -> dict[str, int]:
        """Return the peak memory of the finished runs of each scenario, in bytes."""
        query = (
            "SELECT scenario, max(peak_memory) FROM runs WHERE status = 'done' GROUP BY scenario"
        )
        return dict(self._fresh(lambda: self._rows(query)))

    def active_processes(self) -> list[SuiteProcess]:
        """Return the processes that run suites, the oldest first.

        Raises:
            UserError: The file is damaged.
        """
        return self._fresh(self._read_active)

    def latest(self) -> tuple[int, object]:
        """Return the number of runs, and a value that changes whenever a run ends.

        Raises:
            UserError: The file is damaged.
        """
        last = "SELECT rowid, key, started, seconds FROM runs ORDER BY rowid DESC LIMIT 1"
        found = self._fresh(
            lambda: self._rows(f"SELECT (SELECT count(*) FROM runs), * FROM ({last})")
        )
        return (found[0][0], found[0]) if found else (0, None)

    def failed(self, most: int) -> list[Record]:
        """Return the last failed runs, the newest first.

        Args:
            most: The maximum of runs.

        Raises:
            UserError: The file is damaged.
        """
        last = f"WHERE status = 'failed' ORDER BY rowid DESC LIMIT {most}"
        return readable(self._fresh(lambda: self._read(last)))

    def records(self, keys: Sequence[str] | None = None) -> list[Record]:
        """Return the runs in a stable order.

        Each has its reference runs in the store, with the same scenario and seed. A run that
        cannot be read is left out with a ``Remark``.

        Args:
            keys: Only these runs; ``None`` for all.

        Raises:
            UserError: The file is damaged.
        """
        runs = with_references(readable(self._fresh(self._read)))
        if keys is None:
            return runs
        wanted = set(keys)
        return [run for run in runs if run.key in wanted]

    def _insert(self, record: Record) -> None:
        row = columns_of(record)
        marks = ", ".join("?" * len(row))
        self._file.connection.execute(
            f"INSERT OR REPLACE INTO runs ({', '.join(row)}) VALUES ({marks})", [*row.values()]
        )
        self._file.connection.execute("DELETE FROM leases WHERE key = ?", [record.key])

    def _insert_suite(self, note: SuiteNote) -> None:
        row = columns_of_suite(note)
        marks = ", ".join("?" * len(row))
        changed = ", ".join(f"{column} = excluded.{column}" for column in row)
        self._file.connection.execute(  # a suite keeps its place among the suites
            f"INSERT INTO suites ({', '.join(row)}) VALUES ({marks}) "
            f"ON CONFLICT (name) DO UPDATE SET {changed}",
            [*row.values()],
        )

    def _open(self) -> Database:
        return open_database(self.path, COLUMNS, write=self._write, patience=self._patience)

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Open a transaction, with ``what`` as the message of errors."""
        with user_errors(self.path, what, _ADVICE), self._file.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def _fresh(self, read: Callable[[], Iterator[_Row]]) -> list[_Row]:
        """Read again until no other process has written meanwhile, since reading takes no locks."""
        while True:
            try:
                found = list(read())
            except UserError:
                if self._file.is_current():
                    raise
            else:
                if self._file.is_current():
                    return found
            self.close()
            self._file = self._open()

    def _rows(self, query: str, values: Sequence[str] = ()) -> Iterator[Any]:
        if not self._file.is_empty:
            with user_errors(self.path, *DAMAGED):
                yield from self._file.connection.execute(query, values)

    def _read_suites(self) -> Iterator[SuiteNote]:
        query = f"SELECT {', '.join(SUITE_COLUMNS)} FROM suites ORDER BY rowid"
        for row in self._rows(query):
            values = dict(zip(SUITE_COLUMNS, row, strict=True))
            try:
                yield note_of(values)
            except ValueError as error:
                what, advice = DAMAGED
                raise UserError(
                    f"{self.path}: {what} (suite {values['name']!r}); {advice}"
                ) from error

    def _read_active(self) -> Iterator[SuiteProcess]:
        try:
            yield from processes_of(
                self._rows(f"SELECT {', '.join(PROCESS_COLUMNS)} FROM processes"),
                self._rows(f"SELECT process, {', '.join(JOB_COLUMNS)} FROM active_jobs"),
            )
        except ValueError as error:
            what, advice = DAMAGED
            raise UserError(f"{self.path}: {what} ({error}); {advice}") from error

    def _read(
        self, which: str = _IN_ORDER, values: Sequence[str] = ()
    ) -> Iterator[Record | UserError]:
        """Yield runs, or the reason why one cannot be read.

        The JSON of a row is parsed at once, which takes half the time.
        """
        plain = [column for column in COLUMNS if column not in JSON_COLUMNS]
        together = " || ',' || ".join(JSON_COLUMNS)
        for *own, text in self._rows(
            f"SELECT {', '.join(plain)}, '[' || {together} || ']' FROM runs {which}", values
        ):
            run = dict(zip(plain, own, strict=True))
            try:
                own_json: Mapping[str, Any] = dict(zip(JSON_COLUMNS, parsed(text), strict=True))
                yield record_of({**run, **own_json})
            except (TypeError, ValueError) as error:
                yield UserError(
                    f"{self.path}: a run cannot be read (run {quoted(run['key'])}: {error}); "
                    f"'palimpsest doctor {self.path} --save NEW.db' saves the others"
                )


def _place(path: Path) -> tuple[int, int] | None:
    """Return the identity of a file; ``None`` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
