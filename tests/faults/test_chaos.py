"""Processes that are killed at random moments, and runs that do what they must not.

After each: every finished run is in the store exactly once, with the numbers that it has
undisturbed, and the next call does the others. ``PALIMPSEST_CHAOS=20`` tries 20 moments of each
kind instead of a few.
"""

import random
import signal
import sqlite3
import sys
import time

import psutil
import pytest
from chaos_runs import MOMENTS, RUNS, check, kill, start, victims

from palimpsest import run_suite
from palimpsest.benchmark.executors.scratch import WithScratch
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.suites.loading import load_suite

pytestmark = pytest.mark.chaos

CASES = [
    (whom, seed)
    for whom in ("a worker", "the fork server", "the owner", "all")
    for seed in range(MOMENTS)
]


@pytest.mark.parametrize(("whom", "seed"), CASES)
def test_a_kill_at_any_moment_loses_no_finished_run(tmp_path, seconds, carry_out_here, whom, seed):
    random.seed(f"{whom} {seed}")
    running = start(tmp_path)
    time.sleep(random.uniform(0, seconds))
    kill(victims(psutil.Process(running.pid), whom))
    survives = whom in {"a worker", "the fork server"}
    code = running.wait(60)
    told = (tmp_path / "errors").read_text()
    assert code == 0 if survives else code in {0, -signal.SIGKILL}, told
    assert not (survives and "Traceback" in told), told
    if (tmp_path / "runs.db").exists():
        check(tmp_path, RUNS if survives else [])
    carry_out_here(tmp_path)
    check(tmp_path, RUNS)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with WithScratch(tmp_path / "scratch"):
        pass  # as the next suite begins: of this one, nothing may have been left to do
    assert list((tmp_path / "scratch").iterdir()) == []


PLUGIN = """
import ctypes, os, resource, signal, sys, time
from pathlib import Path

import torch
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class WrongSettings(StrategySettings):
    how: str


class Wrong(SupervisedPlugin):
    facts = Facts("wrong", "none", "none")
    Settings = WrongSettings

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
