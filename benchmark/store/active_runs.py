"""The active runs in a store: the processes that execute them, and their jobs.

``palimpsest watch`` and processes that share runs read them; no result depends on them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from palimpsest.benchmark.files.untrusted import parsed
from palimpsest.strategies.base.facts import Facts

STALE = 15.0
"""Seconds without a heartbeat after which a process counts as killed."""


@dataclass(frozen=True)
class ActiveJob:
    """An active job of a process.

    Attributes:
        key: Of its first run, like the following attributes.
        suite: The name of the first suite with this run.
        scenario: The scenario's name in the suite.
        strategy: The strategy's name in the suite.
        facts: The facts of the strategy.
        strength: The value of its dial; ``None`` if it has none.
        seed: The seed.
        runs: The number of runs that share the training.
        fraction: The completed fraction of the training, from 0 to 1.
        started: Unix time, in seconds.
        curves: As ``Record.curves``, with few points.
    """

    key: str
    suite: str
    scenario: str
    strategy: str
    facts: Facts
    strength: float | None
    seed: int
    runs: int
    fraction: float
    started: float
    curves: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class SuiteProcess:
    """A process that runs suites.

    Attributes:
        id: Unique for every process, on any machine.
        host: The machine's name.
        pid: Its process id.
        started: Unix time, in seconds.
        heartbeat: When it was last seen, likewise.
        done: The number of ended runs of its suites, including those that the store had before.
        total: The number of runs of its suites.
        seconds_left: The estimate of ``Eta``; ``None`` if there is none yet.
        ended: When it was interrupted; ``None`` while it is active. A process that has completed
            all its runs is removed from the store.
        jobs: Its active jobs.
    """

    id: str
    host: str
    pid: int
    started: float
    heartbeat: float
    done: int
    total: int
    seconds_left: float | None
    ended: float | None = None
    jobs: Sequence[ActiveJob] = ()


class End(NamedTuple):
    """The end of a run.

    Attributes:
        row: Changes whenever the run ends again.
        status: Of its record.
    """

    row: int
    status: str


class Lease(NamedTuple):
    """The answer to a request for a lease of runs.

    Attributes:
        ended: The runs among them that have ended, by key.
        taken: Whether the process may execute the others.
    """

    ended: Mapping[str, End]
    taken: bool


TABLES = """
CREATE TABLE processes (
    id                TEXT PRIMARY KEY,
    host              TEXT NOT NULL,
    pid               INTEGER NOT NULL,
    started           REAL NOT NULL,
    heartbeat         REAL NOT NULL,
    done              INTEGER NOT NULL,
    total             INTEGER NOT NULL,
    seconds_left      REAL,
    ended             REAL
);
CREATE TABLE active_jobs (
    process           TEXT NOT NULL,
    key               TEXT NOT NULL,
    suite             TEXT NOT NULL,
    scenario          TEXT NOT NULL,
    strategy          TEXT NOT NULL,
    facts             TEXT NOT NULL,
    strength          REAL,
    seed              INTEGER NOT NULL,
    runs              INTEGER NOT NULL,
    fraction          REAL NOT NULL,
    started           REAL NOT NULL,
    curves            TEXT NOT NULL,
    PRIMARY KEY (process, key)
);
"""

LEASES = """
CREATE TABLE leases (
    key               TEXT PRIMARY KEY,
    process           TEXT NOT NULL
);
"""
"""The process that has reserved a run."""

PROCESS_COLUMNS = tuple(name for name in SuiteProcess.__annotations__ if name != "jobs")
JOB_COLUMNS = tuple(ActiveJob.__annotations__)


def columns_of_process(process: SuiteProcess) -> dict[str, Any]:
    """Return what is stored for a process, by column."""
    return {name: getattr(process, name) for name in PROCESS_COLUMNS}


def columns_of_job(process: str, job: ActiveJob) -> dict[str, Any]:
    """Return what is stored for a job, by column.

    Args:
        process: The id of its process.
        job: The job; its curves have to be valid JSON.
    """
    values = {name: getattr(job, name) for name in JOB_COLUMNS}
    as_json = {"facts": json.dumps(job.facts.data), "curves": json.dumps(list(job.curves))}
    return {"process": process, **values, **as_json}


def processes_of(
    processes: Iterable[Sequence[Any]], jobs: Iterable[Sequence[Any]]
) -> list[SuiteProcess]:
    """Return the processes that are stored, with their jobs, the oldest first.

    Args:
        processes: Rows of ``PROCESS_COLUMNS``.
        jobs: Rows of the id of a process and ``JOB_COLUMNS``.

    Raises:
        ValueError: A job is damaged; names it.
    """
    own: dict[str, list[ActiveJob]] = {}
    for process, *row in jobs:
        values = dict(zip(JOB_COLUMNS, row, strict=True))
        try:
            facts = Facts.of(parsed(values["facts"]))
            job = ActiveJob(**{**values, "facts": facts, "curves": parsed(values["curves"])})
        except (TypeError, ValueError) as error:
            raise ValueError(f"job {values['key']!r}") from error
        own.setdefault(process, []).append(job)
    found = []
    for each in processes:
        values = dict(zip(PROCESS_COLUMNS, each, strict=True))
        its = sorted(own.get(values["id"], ()), key=lambda job: (job.started, job.key))
        found.append(SuiteProcess(**values, jobs=tuple(its)))
    return sorted(found, key=lambda process: (process.started, process.id))


def lease_runs(
    connection: sqlite3.Connection,
    keys: Sequence[str],
    process: str,
    lives: Callable[[str], bool],
) -> Lease:
    """Lease runs for a process, unless another process has a lease of some of them.

    Args:
        connection: In an exclusive transaction.
        keys: Of the runs, which are trained together.
        process: The id of the process.
        lives: Returns whether another process is still alive.
    """
    marks = ", ".join("?" * len(keys))
    there = f"SELECT key, rowid, status FROM runs WHERE key IN ({marks})"
    ended = {key: End(row, status) for key, row, status in connection.execute(there, keys)}
    leased = f"SELECT DISTINCT process FROM leases WHERE key IN ({marks})"
    holders = {holder for (holder,) in connection.execute(leased, keys)}
    if any(lives(holder) for holder in holders - {process}):
        return Lease(ended, taken=False)
    connection.executemany(
        "INSERT OR REPLACE INTO leases VALUES (?, ?)", [(key, process) for key in keys]
    )
    return Lease(ended, taken=True)
