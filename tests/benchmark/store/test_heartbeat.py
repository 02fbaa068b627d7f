"""What a store says of runs under way: from their start to their end, and after a kill."""

import os
import sqlite3

import pytest
from stored_runs import CURVES, FACTS, a_run

from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.store import heartbeat as module
from palimpsest.benchmark.store.active_runs import STALE
from palimpsest.benchmark.store.heartbeat import Heartbeat
from palimpsest.benchmark.store.store import Record, Store

FAILED = Failure(FailureKind.ERROR, "ValueError: none")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "runs.db", create=True) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still unless it is moved; nothing is written but on request."""
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(Heartbeat, "_beat", lambda self: None)

    class Clock:
        now = 1_000.0

        def __call__(self):
            return self.now

    return Clock()


def told(store):
    """What another process reads."""
    with Store(store.path) as reader:
        return reader.active_processes()


def test_a_job_is_there_from_its_start_to_its_end(store, clock):
    with Heartbeat(store.path, 2, 5, clock) as heart:
        heart.progressed((a_run("one", 10.0), a_run("two")), JobProgress(0.25, CURVES), 40.0)
        heart._write()
        (process,) = told(store)
        assert (process.pid, process.done, process.total) == (os.getpid(), 2, 5)
        assert (process.seconds_left, process.heartbeat, process.ended) == (40.0, 1_000.0, None)
        (job,) = process.jobs
        assert (job.key, job.suite, job.scenario, job.strategy) == ("one", "suite", "digits", "one")
        assert (job.facts, job.strength, job.seed) == (FACTS, 10.0, 3)
        assert (job.runs, job.fraction, job.curves) == (2, 0.25, CURVES)

        clock.now += 7
        heart.progressed((a_run("one", 10.0), a_run("two")), JobProgress(0.5), 30.0)
        heart._write()
        (process,) = told(store)
        assert (process.heartbeat, process.jobs[0].started) == (1_007.0, 1_000.0)
        assert process.jobs[0].fraction == 0.5

        heart.ended("one", 3, 20.0)
        heart._write()
        (process,) = told(store)
        assert (process.done, process.seconds_left, process.jobs) == (3, 20.0, ())
    assert told(store) == []


def test_a_process_that_was_interrupted_stays_until_the_next_one_begins(store, clock):
    with pytest.raises(KeyboardInterrupt), Heartbeat(store.path, 2, 5, clock) as heart:
        heart.progressed((a_run(),), JobProgress(0.25), None)
        raise KeyboardInterrupt
    (process,) = told(store)
    assert (process.ended, process.done, process.jobs) == (1_000.0, 2, ())
    with Heartbeat(store.path, 2, 5, clock) as heart:
        heart._write()
        assert [each.ended for each in told(store)] == [None]


def test_processes_share_a_store_and_take_away_those_that_were_killed(store, clock):
    killed = Heartbeat(store.path, 0, 5, clock)
    killed.progressed((a_run(),), JobProgress(0.25), None)
    killed._write()
    clock.now += STALE / 2
    with Heartbeat(store.path, 0, 5, clock) as heart:
        heart.progressed((a_run(),), JobProgress(0.75), None)
        heart._write()
        assert [p.jobs[0].fraction for p in told(store)] == [0.25, 0.75]
        clock.now += STALE / 2 + 1
        heart._write()
        assert [p.jobs[0].fraction for p in told(store)] == [0.75]
    connection = sqlite3.connect(store.path)
    assert connection.execute("SELECT count(*) FROM active_jobs").fetchone() == (0,)
    connection.close()


def test_a_locked_store_is_left_out_and_fails_nothing(store, clock, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    other = sqlite3.connect(store.path)
    other.execute("BEGIN IMMEDIATE")
    with Heartbeat(store.path, 0, 5, clock) as heart:
        heart._write()
        other.rollback()
        assert told(store) == []
        heart._write()
        assert len(told(store)) == 1
        other.execute("BEGIN IMMEDIATE")
    other.close()


def jobs(path):
    try:
        with Store(path) as store:
            return [job for process in store.active_processes() for job in process.jobs]
    except Exception:  # the tables are just being made
        return []


def test_a_store_says_what_ended_last_and_what_failed(store):
    assert store.latest() == (0, None)
    marks = []
    for key, status in [("a", "failed"), ("b", "done"), ("c", "failed"), ("a", "done")]:
        run = a_run(key)
        failure = FAILED if status == "failed" else None
        store.put(Record(**run.cell(), status=status, failure=failure, started=f"at {len(marks)}"))
        marks.append(store.latest())
    assert [count for count, _ in marks] == [1, 2, 3, 3]
    assert len({mark for _, mark in marks}) == 4
    assert [record.key for record in store.failed(9)] == ["c"]
    store.put(Record(**a_run("d").cell(), status="failed", failure=FAILED))
    assert [record.key for record in store.failed(1)] == ["d"]
