"""Order and second tries, with an executor that only pretends."""

from dataclasses import replace

import pytest

from palimpsest.benchmark.executors import run_jobs as module
from palimpsest.benchmark.executors.executor import LostJob
from palimpsest.benchmark.executors.run_jobs import run_jobs
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.suite import Run
from palimpsest.strategies.base.catalogue import STRATEGIES


def a_run(name: str) -> Run:
    spec = Spec({"scenario": {}, "strategy": {"name": name, "strategy": name}})
    names = {"suite": "s", "scenario": "s", "strategy": name}
    return Run(
        key=name, **names, strength=None, seed=0, spec=spec, facts=STRATEGIES["finetune"].facts
    )


class Pretends:
    """Loses a job as often as the names of its runs say: ``lost 2`` twice."""

    def __init__(self, workers=1):
        self.workers = workers
        self.calls = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def execute(self, jobs, report):
        self.calls.append([tuple(run.key for run in job) for job in jobs])
        for job in jobs:
            report(job, JobProgress(0.5))
            tries = sum(run.key in each for call in self.calls for each in call for run in job[:1])
            if job[0].key.startswith("late"):
                yield LostJob(job, "it took too long", FailureKind.TIMED_OUT, final=True)
            elif any(run.key.startswith("lost") and tries <= int(run.key[-1]) for run in job):
                yield LostJob(job, "it is gone")
            else:
                yield [Record(**run.cell(), status="done") for run in job]


def outcome(executor, *names, retries=1):
    runs = [a_run(name) for name in names]
    records = list(run_jobs(runs, executor, lambda *_: None, retries))
    assert sorted(record.key for record in records) == sorted(names)
    return {record.key: record for record in records}


def test_what_was_lost_is_tried_again_when_all_others_have_ended():
    executor = Pretends()
    records = outcome(executor, "a", "lost 1", "b", "lost 2", "c")
    assert {k: r.status for k, r in records.items() if r.status != "done"} == {"lost 2": "failed"}
    assert records["lost 2"].failure == Failure(FailureKind.KILLED, "it is gone")
    assert records["lost 2"].versions["palimpsest"]
    assert records["a"].cost == {}
    assert records["lost 1"].cost == {"lost": 1}
    assert executor.calls[1:] == [[("lost 1",)], [("lost 2",)]]


@pytest.mark.parametrize(("retries", "done"), [(0, []), (1, [1]), (2, [1, 2]), (4, [1, 2, 3])])
def test_a_lost_run_is_tried_again_as_often_as_asked(retries, done):
    executor = Pretends()
    records = outcome(executor, "lost 1", "lost 2", "lost 3", retries=retries)
    assert [int(k[-1]) for k, r in sorted(records.items()) if r.status == "done"] == done
    assert {int(k[-1]): r.cost for k, r in records.items() if r.status == "done"} == {
        times: {"lost": times} for times in done
    }
    assert len(executor.calls) - 1 == sum(min(times, retries) for times in (1, 2, 3))


def test_a_run_that_takes_too_long_is_not_tried_again():
    executor = Pretends()
    records = outcome(executor, "late", "a", "lost 1", retries=3)
    assert records["late"].failure == Failure(FailureKind.TIMED_OUT, "it took too long")
    assert {key for key, record in records.items() if record.status == "done"} == {"a", "lost 1"}
    assert executor.calls[1:] == [[("lost 1",)]]


def test_runs_of_a_lost_job_are_tried_again_one_by_one(monkeypatch):
    """So that a run that always fails does not affect the others."""
    monkeypatch.setattr(module, "jobs_of", lambda runs: [tuple(runs[:3]), tuple(runs[3:])])
    executor = Pretends()
    records = outcome(executor, "a", "lost 9", "b", "c")
    assert {key for key, record in records.items() if record.status == "failed"} == {"lost 9"}
    assert executor.calls == [
        [("a", "lost 9", "b"), ("c",)],
        [("a",)],
        [("lost 9",)],
        [("b",)],
    ]


def test_the_first_job_of_a_scenario_and_seed_starts_well_before_the_others():
    names = [f"{seed}{letter}" for seed in range(4) for letter in "abc"]
    runs = [replace(a_run(name), seed=int(name[0])) for name in names]
    executor = Pretends(workers=2)
    list(run_jobs(runs, executor, lambda *_: None))
    ordered = [key for (key,) in executor.calls[0]]
    assert ordered == ["0a", "1a", "0b", "0c", "2a", "1b", "1c", "3a", "2b", "2c", "3b", "3c"]
