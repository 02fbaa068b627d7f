"""What the chaos tests carry out: many short runs in real processes, and what must be so after."""

import contextlib
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from palimpsest.benchmark.executors.local import in_worker
from palimpsest.benchmark.orchestration.loop import carry_out_plan
from palimpsest.benchmark.orchestration.plan import Plan
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.store.unsaved_runs import rescued
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.suite import Run
from palimpsest.strategies.registry import STRATEGIES

MOMENTS = int(os.environ.get("PALIMPSEST_CHAOS", "1"))
RUNS = [f"run-{number:02}" for number in range(14)]
WORKERS = 2
_SIDE = 16


def a_run(name: str) -> Run:
    spec = Spec({"scenario": {}, "strategy": {"name": name, "strategy": name}})
    names = {"suite": "s", "scenario": "s", "strategy": name}
    return Run(
        key=name, **names, strength=None, seed=0, spec=spec, facts=STRATEGIES["finetune"].facts
    )


def numbers(name: str) -> list[list[float]]:
    """What a run gives, whenever and wherever it is carried out; more than a page of a store."""
    digest = hashlib.shake_256(name.encode()).digest(_SIDE * _SIDE)
    values = [byte / 255 for byte in digest]
    return [values[start : start + _SIDE] for start in range(0, len(values), _SIDE)]


def pretend(job, root, scratch, progress, checkpoints) -> list[Record]:
    """Stands in for a job: it takes a moment, and leaves something in the scratch folder."""
    (run,) = job
    with (root / "begun").open("a") as begun:
        begun.write(f"{run.key} {os.getpid()}\n")
    (scratch / f"{run.key}.tensors").write_bytes(bytes(1000))
    time.sleep(0.03)
    return [Record(**run.cell(), status="done", accuracy_matrix=numbers(run.key))]


REAL_SERVE = in_worker.serve


def serve(*arguments) -> None:
    in_worker.execute, in_worker.prepare = pretend, lambda *_: None
    REAL_SERVE(*arguments)


def carry_out(folder: Path, run_timeout: float | None = None) -> None:
    """Carry out all runs that the store lacks."""
    in_worker.serve, in_worker.PREPARATION = serve, "palimpsest.benchmark.orchestration.loop"
    runs, store = [a_run(name) for name in RUNS], folder / "runs.db"
    (folder / "scratch").mkdir(exist_ok=True)
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
        workers=WORKERS,
        suites=(),
        scratch=folder / "scratch",
        run_timeout=run_timeout,
    )

    def progress(news) -> None:
        assert news.seconds_left is None or 0 <= news.seconds_left < 600, news

    carry_out_plan(plan, progress)


_PROGRAM = "import chaos_runs; chaos_runs.carry_out(chaos_runs.Path({folder!r}), {run_timeout!r})"


def start(folder: Path, run_timeout: float | None = None, before: str = "") -> subprocess.Popen:
    """Start ``carry_out`` in a session of its own, as a cluster does.

    Args:
        folder: Where the store is, or will be.
        run_timeout: Seconds that a run may take.
        before: What the process does first, before it imports anything.
    """
    program = _PROGRAM.format(folder=str(folder), run_timeout=run_timeout)
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{program}"],
        cwd=Path(__file__).parent,
        stderr=(folder / "errors").open("a"),
        start_new_session=True,
    )


def begun(folder: Path) -> Counter:
    """How often each run was begun."""
    return Counter((folder / "begun").read_text().split()[::2])


def at_work(folder: Path) -> set[str]:
    """The workers that have begun a run, by their process's number."""
    there = folder / "begun"
    return {*there.read_text().split()[1::2]} if there.exists() else set()


def check(folder: Path, expected) -> set[str]:
    """What is in the store is whole, right, and there once; all of ``expected`` is there."""
    with Store(folder / "runs.db") as store:
        records = store.records()
    assert all(record.status == "done" for record in records), [r.error for r in records]
    assert all(record.accuracy_matrix == numbers(record.key) for record in records)
    keys = [record.key for record in records]
    assert len(keys) == len({*keys})
    assert {*keys} >= {*expected}
    return {*keys}


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


def kill(processes) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
