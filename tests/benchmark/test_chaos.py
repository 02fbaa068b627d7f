"""Processes that are killed at random moments, and runs that do what they must not.

After each: every finished run is in the store exactly once, with the numbers that it has
undisturbed, and the next call does the others. ``PALIMPSEST_CHAOS=20`` tries 20 moments of each
kind instead of a few.
"""

import contextlib
import hashlib
import multiprocessing.forkserver
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmark import run_suite
from benchmark.executors import in_worker
from benchmark.failure import FailureKind
from benchmark.plan import Plan
from benchmark.rescue import rescued
from benchmark.running import carry_out_plan
from benchmark.spec import Spec
from benchmark.store import Record, Store
from benchmark.suite import Run
from benchmark.suite_loading import load_suite

pytestmark = pytest.mark.chaos

MOMENTS = int(os.environ.get("PALIMPSEST_CHAOS", "3"))
RUNS = [f"run-{number:02}" for number in range(14)]


def a_run(name: str) -> Run:
    spec = Spec({"scenario": {}, "strategy": {"name": name, "strategy": name}})
    return Run(key=name, suite="s", scenario="s", strategy=name, strength=None, seed=0, spec=spec)


def numbers(name: str) -> list[list[float]]:
    """What a run gives, whenever and wherever it is carried out."""
    digest = hashlib.sha256(name.encode()).digest()
    return [[byte / 255 for byte in digest]]


def pretend(job, root, scratch, progress) -> list[Record]:
    """Stands in for a job: it takes a moment, and leaves something in the scratch folder."""
    (run,) = job
    (scratch / f"{run.key}.tensors").write_bytes(bytes(1000))
    time.sleep(0.03)
    return [Record(**run.cell(), status="done", accuracy_matrix=numbers(run.key))]


REAL_SERVE = in_worker.serve


def serve(*arguments) -> None:
    in_worker.execute, in_worker.prepare = pretend, lambda *_: None
    REAL_SERVE(*arguments)


def carry_out(folder: Path) -> None:
    """Carry out all runs that the store lacks."""
    in_worker.serve, in_worker.PREPARATION = serve, "benchmark.running"
    runs, store = [a_run(name) for name in RUNS], folder / "runs.db"
    done = {}
    if store.exists():
        with Store(store) as opened:
            done = opened.statuses()
    todo = [run for run in runs if done.get(run.key) != "done"]
    plan = Plan(
        runs=tuple(runs),
        todo=tuple(todo),
        rescued=rescued(store),
        store=store,
        root=folder,
        workers=2,
        suites=(),
        scratch=folder / "scratch",
    )
    carry_out_plan(plan)


@pytest.fixture
def here(monkeypatch):
    """``carry_out`` in this process."""
    monkeypatch.setattr(in_worker, "serve", serve)
    monkeypatch.setattr(in_worker, "PREPARATION", "benchmark.running")
    multiprocessing.forkserver._forkserver._stop()
    yield carry_out
    multiprocessing.forkserver._forkserver._stop()


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, test_chaos as t; t.carry_out(t.Path(sys.argv[1]))",
            folder,
        ],
        cwd=Path(__file__).parent,
        stderr=(folder / "errors").open("w"),
    )


@pytest.fixture(scope="module")
def seconds(tmp_path_factory):
    """How long an undisturbed process takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "scratch").mkdir()
    begin = time.monotonic()
    assert start(folder).wait(60) == 0
    check(folder, RUNS)
    return time.monotonic() - begin


def check(folder: Path, expected) -> None:
    """What is in the store is whole, right, and there once; all of ``expected`` is there."""
    with Store(folder / "runs.db") as store:
        records = store.records()
    assert all(record.status == "done" for record in records), [r.error for r in records]
    assert all(record.accuracy_matrix == numbers(record.key) for record in records)
    keys = [record.key for record in records]
    assert len(keys) == len({*keys})
    assert {*keys} >= {*expected}


def victims(owner: psutil.Process, whom: str) -> list[psutil.Process]:
    """The processes to kill, as they are now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = owner.children()
        workers = [worker for child in children for worker in child.children()]
        return {
            "a worker": random.sample(workers, min(1, len(workers))),
            "the fork server": [child for child in children if child.children()][:1],
            "the owner": [owner],
            "all": [owner, *children, *workers],
        }[whom]
    return []


CASES = [
    (whom, seed)
    for whom in ("a worker", "the fork server", "the owner", "all")
    for seed in range(MOMENTS)
]


@pytest.mark.parametrize(("whom", "seed"), CASES)
def test_a_kill_at_any_moment_loses_no_finished_run(tmp_path, seconds, here, whom, seed):
    random.seed(f"{whom} {seed}")
    (tmp_path / "scratch").mkdir()
    running = start(tmp_path)
    time.sleep(random.uniform(0, seconds))
    for process in victims(psutil.Process(running.pid), whom):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    survives = whom in {"a worker", "the fork server"}
    code = running.wait(60)
    told = (tmp_path / "errors").read_text()
    assert code == 0 if survives else code in {0, -signal.SIGKILL}, told
    assert not (survives and "Traceback" in told), told
    if (tmp_path / "runs.db").exists():
        check(tmp_path, RUNS if survives else [])
    here(tmp_path)
    check(tmp_path, RUNS)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert list((tmp_path / "scratch").iterdir()) == []


PLUGIN = """
import ctypes, os, resource, signal, sys, time
from pathlib import Path

import torch
from avalanche.training.plugins import SupervisedPlugin

from strategies.registry import StrategyEntry
from strategies.settings import StrategySettings


class Wrong(SupervisedPlugin):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def before_training_exp(self, strategy, *_, **__):
        if not Path({flag!r}).exists():
            getattr(self, self.how)(strategy)

    def nan(self, strategy):
        with torch.no_grad():
            next(strategy.model.parameters()).fill_(float("nan"))

    def exits(self, _):
        os._exit(3)

    def leaves(self, _):
        sys.exit("enough")

    def segfaults(self, _):
        ctypes.string_at(0)

    def hangs(self, _):
        time.sleep(120)

    def stops(self, _):
        os.kill(os.getpid(), signal.SIGSTOP)

    def eats(self, _):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), before[1]))
        try:
            held = []
            while True:
                held.append(bytearray(20 << 20))
        finally:
            del held
            resource.setrlimit(resource.RLIMIT_AS, before)


class WrongSettings(StrategySettings):
    how: str


STRATEGIES = [StrategyEntry("wrong", "Wrong", __name__, WrongSettings, "none", "none")]
"""
EXPECTED = {
    "nan": (FailureKind.DIVERGED, "NaN"),
    "exits": (FailureKind.KILLED, "exit status 3"),
    "leaves": (FailureKind.ERROR, "SystemExit: enough"),
    "segfaults": (FailureKind.KILLED, "signal 11 (SIGSEGV)"),
    "hangs": (FailureKind.TIMED_OUT, "longer than 10 s"),
    "stops": (FailureKind.TIMED_OUT, "longer than 10 s"),
    "eats": (FailureKind.OUT_OF_MEMORY, "MemoryError"),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_runs_that_do_what_they_must_not_end_no_others(tmp_path, registries):
    flag = tmp_path / "behave"
    (tmp_path / "wrong.py").write_text(PLUGIN.replace("{flag!r}", repr(str(flag))))
    suite = {
        "suite": "chaos",
        "seeds": 1,
        "scenarios": {
            "two_models": {"data": "digits", "steps": 3, "width": 4, "curve": {"every": 0}}
        },
        "strategies": {how: {"strategy": "wrong", "how": how} for how in EXPECTED}
        | {"finetune": {}, "wpl": {"strengths": [1], "samples": 5}},
    }
    with registries():
        loaded = load_suite(suite, plugins=[tmp_path / "wrong.py"])
        options = {"workers": 2, "retries": 0}
        first = run_suite(loaded, store=tmp_path / "r.db", run_timeout=10, **options)
        failures = {record.strategy: record.failure for record in first}
        assert failures.pop("finetune") is failures.pop("wpl") is None
        assert {how: failure.kind for how, failure in failures.items()} == {
            how: kind for how, (kind, _) in EXPECTED.items()
        }
        for how, (_, said) in EXPECTED.items():
            assert said in failures[how].message
        flag.touch()
        again = run_suite(loaded, store=tmp_path / "r.db", **options)
        plain = run_suite(loaded, store=tmp_path / "plain.db", **options)
    assert [r.accuracy_matrix for r in again] == [r.accuracy_matrix for r in plain]
    assert not again.failed
