"""What every executor must do, asked of each; a new one is added to ``EXECUTORS``."""

import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from at_length import at_length

from palimpsest.benchmark import plugins
from palimpsest.benchmark.executors.executor import LostJob
from palimpsest.benchmark.executors.in_process import InProcess
from palimpsest.benchmark.executors.local.workers import WorkerProcesses
from palimpsest.benchmark.executors.run_jobs import run_jobs
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.suites.jobs import jobs_of
from palimpsest.benchmark.suites.loading import load_suite

PLUGIN = '''
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class OwnSettings(StrategySettings):
    fails: bool = False


class Own(SupervisedPlugin):
    """Fails where it is asked to."""

    facts = Facts("own", "none", "none")
    Settings = OwnSettings

    def __init__(self, fails=False):
        super().__init__()
        self.fails = fails

    def before_training_exp(self, strategy, *_, **__):
        if self.fails:
            raise ValueError("as it was asked to")


class OwnSettings(StrategySettings):
    fails: bool = False
'''
SUITE = {
    "suite": "contract",
    "seeds": 2,
    "scenarios": {
        "two_models": {"data": "digits", "steps": 60, "width": 8, "curve": {"every": 20}}
    },
    "strategies": {
        "finetune": {},
        "own": {},
        "broken": {"strategy": "own", "fails": True},
        "wpl": {"strengths": [10, 100], "samples": 20},
    },
}


class Elsewhere:
    """As an executor of a cluster: only files pass between it and a machine that has the code."""

    workers = 1
    program = (
        "import pickle, sys; jobs, known, root = pickle.load(open(sys.argv[1], 'rb'))\n"
        "from palimpsest.benchmark import plugins\n"
        "from palimpsest.benchmark.runs.runner import execute_job\n"
        "plugins.load_again(known)\n"
        "pickle.dump([execute_job(job, root) for job in jobs], open(sys.argv[2], 'wb'))\n"
    )

    def __init__(self, root):
        self.root = root

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def execute(self, jobs, report):
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("jobs", "records")]
            files[0].write_bytes(pickle.dumps((jobs, plugins.loaded(), self.root)))
            ran = subprocess.run([sys.executable, "-c", self.program, *files], check=False)
            if ran.returncode:
                yield from (LostJob(job, "gone") for job in jobs)
                return
            for job, records in zip(jobs, pickle.loads(files[1].read_bytes()), strict=True):
                report(job, JobProgress(1.0, records[0].curves))
                yield records


EXECUTORS = {
    "in process": InProcess,
    "one worker process": lambda root: WorkerProcesses(root, 1),
    "worker processes": lambda root: WorkerProcesses(root, 2),
    "elsewhere": Elsewhere,
}


@contextmanager
def once_saved(checkpoints, act):
    """Act as soon as there is a checkpoint within a training; it is given the run's key."""
    ended = threading.Event()

    def wait():
        while not ended.is_set():
            for path in checkpoints.folder.glob("[!.]*.within.checkpoint"):
                act(path.name.partition(".")[0])
                return
            time.sleep(0.01)

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield
    finally:
        ended.set()
        waiting.join()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, registries):
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "own.py").write_text(PLUGIN)
    with registries():
        load_files([folder / "own.py"])
        yield tuple(load_suite(SUITE).runs("cpu", folder))


@pytest.fixture(scope="module")
def outcome(runs, tmp_path_factory):
    """What an executor makes of all runs: the records in their order, and what it reported."""
    root = tmp_path_factory.mktemp("root")

    @cache
    def carried_out(kind, backwards=False):
        told = []
        with EXECUTORS[kind](root) as executor:
            chosen = runs[::-1] if backwards else runs
            records = list(
                run_jobs(chosen, executor, lambda job, now: told.append((job, now.copied())))
            )
        return records, told

    return carried_out


every = pytest.mark.parametrize("kind", at_length(EXECUTORS, {"elsewhere"}))
ours = pytest.mark.parametrize(
    "kind",
    at_length(["in process", "one worker process", "worker processes"], {"one worker process"}),
)


def numbers(records):
    """What must not depend on where a run was carried out."""
    names = ("metrics", "accuracy_matrix", "validation_matrix", "initial_accuracy", "curves")
    return {r.key: (r.status, r.error, *(getattr(r, name) for name in names)) for r in records}


@every
def test_every_run_gives_one_record(outcome, runs, kind):
    records, _ = outcome(kind)
    assert sorted(record.key for record in records) == sorted(run.key for run in runs)
    assert all(record.versions and record.started for record in records)


@every
def test_a_run_that_fails_ends_no_other(outcome, kind):
    found = {record.strategy: record.status for record in outcome(kind)[0]}
    assert found == {"finetune": "done", "own": "done", "broken": "failed", "wpl": "done"}


@every
def test_plugins_are_known_where_runs_are_carried_out(outcome, kind):
    errors = [record.error for record in outcome(kind)[0] if record.strategy == "broken"]
    assert errors == ["ValueError: as it was asked to"] * 2


@every
def test_progress_is_a_fraction_of_a_job(outcome, runs, kind):
    _, told = outcome(kind)
    jobs = jobs_of(runs)
    assert told
    assert all(job in jobs for job, _ in told)
    assert all(0 <= job_progress.fraction <= 1 for _, job_progress in told)


@every
def test_what_is_told_of_curves_is_a_beginning_of_those_recorded(outcome, kind):
    records, told = outcome(kind)
    measured = {record.key: record.curves for record in records}
    for job, job_progress in told:
        for curve, whole in zip(job_progress.curves, measured[job[0].key], strict=False):
            points = len(curve["steps"])
            assert curve["steps"] == whole["steps"][:points]
            assert [len(line) for line in curve["accuracy"]] == [points] * (curve["model"] + 1)
    if kind == "in process":
        assert {len(job_progress.curves) for _, job_progress in told} >= {1, 2}


@every
def test_results_are_those_of_this_process(outcome, kind):
    assert numbers(outcome(kind)[0]) == numbers(outcome("in process")[0])


@ours
def test_results_do_not_depend_on_the_order(outcome, kind):
    assert numbers(outcome(kind, backwards=True)[0]) == numbers(outcome("in process")[0])


@ours
def test_an_interrupt_ends_what_is_under_way(runs, tmp_path, kind):
    before = set(multiprocessing.active_children())
    with EXECUTORS[kind](tmp_path) as executor:
        results = executor.execute(jobs_of(runs[:3]), lambda *_: None)
        next(results)
        results.close()
        with pytest.raises(StopIteration):
            next(results)
    limit = time.monotonic() + 30
    while set(multiprocessing.active_children()) - before:
        assert time.monotonic() < limit
        time.sleep(0.1)


@ours
def test_nothing_is_left_behind(runs, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EXECUTORS[kind](tmp_path) as executor:
        list(run_jobs(runs[:1], executor, lambda *_: None))
    assert list(tmp_path.iterdir()) == []


def test_this_process_stays_as_it_was(runs, tmp_path):
    torch.set_num_threads(2)
    try:
        states = []
        with InProcess(tmp_path) as executor:
            for _ in range(2):
                torch.manual_seed(7)
                np.random.seed(7)
                random.seed(7)
                list(executor.execute([(runs[0],)] * len(states), lambda *_: None))
                states.append((torch.rand(1).item(), np.random.rand(), random.random()))
        assert states[0] == states[1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
