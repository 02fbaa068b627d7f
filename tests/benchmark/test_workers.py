"""Worker processes: what happens when one of them dies."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cli.run import _ordered
from benchmark.executors import workers
from benchmark.store import Record
from benchmark.suite import Run

ROOT = Path("/nowhere")


def a_run(name: str) -> Run:
    spec = {"strategy": {"name": name, "strategy": name}}
    return Run(key=name, suite="s", scenario="s", strategy=name, strength=None, seed=0, spec=spec)


def pretend(run: Run, root: Path, scratch: Path) -> Record:
    """Stands in for a run: ends well, or kills the process it is in."""
    (scratch / f"{os.getpid()}.progress").write_text(f"{run.key} 0.5")
    if run.key.startswith("deadly") or (
        run.key.startswith("once") and not (scratch / run.key).exists()
    ):
        (scratch / run.key).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (scratch / f"{os.getpid()}.progress").unlink()
    return Record(**run.cell(), status="done", error=None)


@pytest.fixture(autouse=True)
def without_torch(monkeypatch):
    monkeypatch.setattr(workers, "_execute", pretend)
    monkeypatch.setattr(workers, "_start_worker", os.getpid)


def outcome(*names):
    told = []
    runs = [a_run(name) for name in names]
    records = list(workers.run_in_workers(runs, ROOT, 2, lambda run, done: told.append(run.key)))
    assert sorted(r.key for r in records) == sorted(names)
    return {record.key: record for record in records}


def test_all_runs_come_back():
    records = outcome(*(f"good {i}".replace(" ", "-") for i in range(7)))
    assert {r.status for r in records.values()} == {"done"}


def test_a_run_that_kills_its_process_fails_and_the_others_are_done():
    records = outcome("good-1", "deadly", "good-2", "good-3", "good-4")
    assert records.pop("deadly").status == "failed"
    assert {r.status for r in records.values()} == {"done"}


def test_the_failure_says_what_may_have_happened():
    assert "memory" in outcome("deadly", "good")["deadly"].error


def test_a_run_whose_neighbour_killed_the_pool_is_tried_again():
    assert outcome("once", "good-1", "good-2")["once"].status == "done"


def test_several_deadly_runs_do_not_stop_the_suite():
    records = outcome("deadly-1", "good-1", "deadly-2", "good-2", "deadly-3", "good-3")
    assert {r.status for k, r in records.items() if k.startswith("good")} == {"done"}
    assert {r.status for k, r in records.items() if k.startswith("deadly")} == {"failed"}


def test_the_first_run_of_a_scenario_and_seed_starts_well_before_the_others():
    names = [f"{seed}{letter}" for seed in range(4) for letter in "abc"]
    runs = [replace(a_run(name), seed=int(name[0])) for name in names]
    ordered = [run.key for run in _ordered(runs, workers=2)]
    assert ordered == ["0a", "1a", "0b", "0c", "2a", "1b", "1c", "3a", "2b", "2c", "3b", "3c"]
