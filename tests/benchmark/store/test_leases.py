"""Several processes share the runs of one store: each run once, none lost, also after a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stored_runs import a_record

from palimpsest import load_suite, run_suite
from palimpsest.benchmark.store.active_runs import STALE
from palimpsest.benchmark.store.heartbeat import Heartbeat
from palimpsest.benchmark.store.leases import Leases
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.store.unsaved_runs import save_beside
from palimpsest.benchmark.suites.suite import Run

SUITE = {
    "suite": "shared",
    "seeds": 4,
    "scenarios": {"two_models": {"data": "digits", "steps": 20, "width": 4, "curve": {"every": 0}}},
    "strategies": {"finetune": {}, "wpl": {"strengths": [1, 10], "samples": 20}},
}


def job(*seeds):
    return tuple(
        Run(r.key, r.suite, r.scenario, r.strategy, r.strength, r.seed, r.spec, r.facts)
        for r in map(a_record, seeds)
    )


class Other:
    """Another process, whose heartbeat beats when it is told to."""

    def __init__(self, path, monkeypatch):
        monkeypatch.setattr(Heartbeat, "_beat", lambda self: None)
        self.now = 1_000.0
        self.heart = Heartbeat(path, 0, 3, lambda: self.now)
        self.store = Store(path, create=True)
        self.leases = Leases(self.store, self.heart.process, lambda key: None)
        self.heart._write()

    def beat(self, seconds=1.0):
        self.now += seconds
        self.heart._write()


class Here:
    def __init__(self, store):
        self.now = 0.0
        self.elsewhere = []
        self.idle = lambda: None
        self.leases = Leases(
            store,
            "here",
            self.elsewhere.append,
            self.meanwhile,
            lambda: self.now,
            self.sleep,
        )

    def meanwhile(self):
        self.idle()

    def sleep(self, seconds):
        self.now += seconds

    def all(self, *jobs):
        """Take every job, as an executor would, and return their seeds by round."""
        return [[tuple(r.seed for r in each) for each in jobs] for jobs in self.leases.rounds(jobs)]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Store(tmp_path / "runs.db", create=True) as opened:
        yield opened


@pytest.fixture
def other(store, monkeypatch):
    made = Other(store.path, monkeypatch)
    yield made
    made.store.close()


@pytest.fixture
def here(store):
    return Here(store)


def test_what_another_process_has_leased_is_left_to_it(store, other, here):
    assert other.leases.lease(job(1)) == job(1)

    def end():
        other.store.put(a_record(1))

    here.idle = end
    assert here.all(job(0), job(1), job(2)) == [[(0,), (2,)]]
    assert here.elsewhere == [job(1)[0].key]
    assert store.leases().keys() == {job(0)[0].key, job(2)[0].key}


def test_runs_trained_together_are_leased_together_and_done_once(other, here):
    other.store.put(a_record(1))
    assert here.all(job(0, 1, 2)) == [[(0, 2)]]
    assert other.leases.lease(job(2, 3)) is None


def test_a_lease_ends_when_its_process_has_not_been_heard_of_for_a_time(other, here):
    other.leases.lease(job(1))
    heard = []

    def beat():
        heard.append(here.now)
        if here.now < 40:
            other.beat()

    here.idle = beat
    assert here.all(job(1)) == [[], [(1,)]]
    assert 39 + STALE <= here.now <= 42 + STALE


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0, 1e9])
def test_a_clock_that_jumps_ends_no_lease(store, other, here, jump):
    other.leases.lease(job(1))

    def beat():
        other.beat(jump if here.now == 3 else 1.0)
        if here.now > 3 * STALE:
            other.store.put(a_record(1))

    here.idle = beat
    with Heartbeat(store.path, 0, 1, lambda: 1_000.0 - jump) as heart:  # takes stale ones away
        assert here.all(job(1)) == [[]]
        heart._write()
    assert here.elsewhere


def test_a_process_of_this_machine_that_is_gone_holds_nothing(store, other, here):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    other.leases.lease(job(1))
    store._file.connection.execute("UPDATE processes SET pid = ?", [gone.pid])
    store._file.connection.commit()
    assert here.all(job(1)) == [[(1,)]]
    assert here.now == 0


def test_one_of_another_machine_has_its_time(store, other, here, monkeypatch):
    other.leases.lease(job(1))
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert here.all(job(1)) == [[], [(1,)]]
    assert here.now >= STALE


def test_one_that_was_interrupted_gives_its_leases_back(store, other, here):
    with pytest.raises(KeyboardInterrupt), other.heart:
        other.leases.lease(job(1))
        raise KeyboardInterrupt
    assert store.leases() == {}
    assert here.all(job(1)) == [[(1,)]]


def test_a_failure_of_another_process_is_not_tried_again_but_one_from_before_is(store, other):
    failed = a_record(1).__class__(**{**vars(a_record(1)), "status": "failed"})
    store.put(failed)
    here = Here(store)
    assert here.all(job(1)) == [[(1,)]]
    other.store.put(failed)
    assert here.all(job(1)) == [[]]


def test_what_others_could_only_write_beside_the_store_is_taken_in(store, other, here):
    other.leases.lease(job(1))
    here.idle = lambda: save_beside(store.path, a_record(1))
    assert here.all(job(1)) == [[]]
    assert store.statuses() == {a_record(1).key: "done"}


def test_a_store_that_takes_no_leases_keeps_nobody_from_working(store, other, here, monkeypatch):
    monkeypatch.setattr("palimpsest.benchmark.store.leases._PAUSE_SECONDS", 0.0)
    other.store._file.connection.execute("BEGIN IMMEDIATE")
    assert here.all(job(0), job(1)) == [[(0,), (1,)]]
    other.store._file.connection.rollback()


def command(tmp_path, *more):
    arguments = ["run", "shared.yaml", "--store", "runs.db", "--workers", "1", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "palimpsest", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.thorough
def test_two_commands_do_each_run_once_and_one_completes_what_a_killed_one_left(tmp_path):
    (tmp_path / "shared.yaml").write_text(json.dumps(SUITE))
    store = tmp_path / "runs.db"
    Store(store, create=True).close()
    with Store(store, create=True) as watched:
        watched._file.connection.executescript(
            "CREATE TABLE told (key); CREATE TRIGGER tell AFTER INSERT ON runs "
            "BEGIN INSERT INTO told VALUES (NEW.key); END;"
        )
        both = [command(tmp_path) for _ in range(2)]
        limit = time.monotonic() + 120
        while watched.latest()[0] < 3 or len(processes := watched.active_processes()) < 2:
            assert time.monotonic() < limit
            time.sleep(0.05)
        os.killpg(both[0].pid, signal.SIGKILL)
        assert "[12/12]" in both[1].communicate(timeout=120)[1]
        assert both[1].returncode == 0
        both[0].communicate()
        told = [key for (key,) in watched._file.connection.execute("SELECT key FROM told")]
        found = watched.records()
    assert len(processes) == 2
    assert len(told) == len(set(told)) == len(found) == 12
    alone = run_suite(load_suite(SUITE), store=tmp_path / "alone.db", workers=1)
    assert [r.accuracy_matrix for r in found] == [r.accuracy_matrix for r in alone]
