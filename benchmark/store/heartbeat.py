"""Writes the active runs of this process into the store, for ``watch`` and for other processes.

A thread writes about once a second with its own connection, so that training never waits. If the
store cannot be written (a lock, a full disk), nothing is written: no run fails because of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.store.access import require_writable
from palimpsest.benchmark.store.active_runs import (
    STALE,
    ActiveJob,
    SuiteProcess,
    columns_of_job,
    columns_of_process,
)
from palimpsest.benchmark.suites.jobs import Job

_SECONDS = 1.0
"""The time between two writes."""

_PATIENCE = 1.0
"""Seconds that a write waits for a locked store."""


class Heartbeat:
    """Writes the active runs of this process into the store, from entry to exit.

    A normal exit removes the process from the store. After an exception it stays there as
    interrupted, until the next process begins.

    Args:
        store: The store's file, which is open for writing elsewhere in this process.
        done: The number of runs that have already ended.
        total: The number of all runs.
        clock: Returns Unix time in seconds; for tests.
    """

    def __init__(
        self, store: Path, done: int, total: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = store
        self._name = f"{store.resolve().as_uri()}?mode=rw"
        self._clock = clock
        now = clock()
        self._process = SuiteProcess(
            uuid.uuid4().hex, socket.gethostname(), os.getpid(), now, now, done, total, None
        )
        self._jobs: dict[str, ActiveJob] = {}
        self._copied: dict[str, float] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @property
    def process(self) -> str:
        """The id of this process in the store."""
        return self._process.id

    def __enter__(self) -> Self:
        self._write()  # before others can see its leases
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with self._lock:
            self._jobs.clear()
            ended = self._clock() if kind else None
            self._process = replace(self._process, ended=ended)
        self._write(remains=kind is not None)

    def progressed(self, job: Job, job_progress: JobProgress, seconds_left: float | None) -> None:
        """Note the progress of a job.

        Args:
            job: The runs.
            job_progress: Noted at most once per write, unless the job begins again.
            seconds_left: The estimate for all runs.
        """
        run, now = job[0], self._clock()
        if job_progress.fraction and now < self._copied.get(run.key, 0.0) + _SECONDS:
            return
        self._copied[run.key] = now
        copied = job_progress.copied()
        with self._lock:
            before = self._jobs.get(run.key)
            self._jobs[run.key] = ActiveJob(
                run.key,
                run.suite,
                run.scenario,
                run.strategy,
                run.facts,
                run.strength,
                run.seed,
                len(job),
                copied.fraction,
                before.started if before else now,
                copied.curves,
            )
            self._process = replace(self._process, seconds_left=seconds_left)

    def ended(self, key: str, done: int, seconds_left: float | None) -> None:
        """Note that a run has ended.

        Args:
            key: Of the run.
            done: The number of ended runs.
            seconds_left: The estimate for the other runs.
        """
        self._copied.pop(key, None)
        with self._lock:
            self._jobs.pop(key, None)
            self._process = replace(self._process, done=done, seconds_left=seconds_left)

    def _beat(self) -> None:
        while True:
            self._write()
            if self._over.wait(_SECONDS):
                return

    def _write(self, *, remains: bool = True) -> None:
        """Write or remove everything; errors are ignored, since the next write follows."""
        now = self._clock()
        with self._lock:
            process = replace(self._process, heartbeat=now)
            jobs = list(self._jobs.values())
        with contextlib.suppress(sqlite3.Error), self._transaction() as connection:
            mine = [process.id]
            connection.execute("DELETE FROM active_jobs WHERE process = ?", mine)
            connection.execute("DELETE FROM processes WHERE id = ?", mine)
            if not remains or process.ended is not None:
                connection.execute("DELETE FROM leases WHERE process = ?", mine)
            if not remains:
                return
            _insert(connection, "processes", columns_of_process(process))
            for job in jobs:
                _insert(connection, "active_jobs", columns_of_job(process.id, job))
            # This process replaces those that were killed or interrupted.
            connection.execute("DELETE FROM processes WHERE heartbeat < ?", [now - STALE])
            if process.ended is None:
                connection.execute("DELETE FROM processes WHERE ended IS NOT NULL")
            gone = "process NOT IN (SELECT id FROM processes)"
            connection.execute(f"DELETE FROM active_jobs WHERE {gone}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        require_writable(self._path)
        connection = sqlite3.connect(self._name, uri=True, timeout=_PATIENCE, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA synchronous = NORMAL")  # the disk need not have all of it
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])
