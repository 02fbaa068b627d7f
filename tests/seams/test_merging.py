"""A dial that acts after training: one training, many values of it."""

from dataclasses import asdict

import methods
import pytest
from one_run import execute

from palimpsest.benchmark.orchestration.loop import run_suite
from palimpsest.benchmark.runs import preparation
from palimpsest.benchmark.runs.runner import execute_job
from palimpsest.benchmark.suites.jobs import jobs_of

SCENARIO = {
    "family": "model_sequence",
    "models": 3,
    "hidden_layers": 2,
    "pool": 1,
    "width": 12,
    "steps": 20,
    "samples": 200,
    "curve": {"every": 5, "samples": 50},
}
SCALES = {"merge": {"scales": [0.2, 0.6, 1.0]}}


@pytest.fixture
def trainings(monkeypatch):
    """How many programs were built."""
    built = []

    class Spy(preparation.InMemoryTraining):
        def __init__(self, **arguments):
            built.append(1)
            super().__init__(**arguments)

    monkeypatch.setattr(preparation, "InMemoryTraining", Spy)
    return built


def numbers(record):
    found = asdict(record)
    for name in ("started", "seconds", "peak_memory", "cost"):
        del found[name]
    return found, record.cost["steps"], record.cost["state_bytes"]


def test_runs_that_differ_in_the_scale_alone_are_a_job(make_runs):
    runs = make_runs(SCALES | {"finetune": {}, "wpl": {"strengths": [1, 10]}}, SCENARIO, [0, 1])
    jobs = jobs_of(runs)
    assert [run for job in jobs for run in job] == sorted(runs, key=lambda run: run.seed)
    assert [len(job) for job in jobs] == [3, 1, 1, 1] * 2
    assert {run.strength for run in jobs[0]} == {0.2, 0.6, 1.0}
    assert len({run.seed for run in jobs[0]}) == 1


def test_a_job_trains_once_and_gives_what_each_run_gives_alone(make_runs, root, trainings):
    runs = make_runs(SCALES, SCENARIO)
    (job,) = jobs_of(runs)
    together = execute_job(job, root)
    assert len(trainings) == 1
    assert [record.key for record in together] == [run.key for run in runs]
    alone = [execute(run, root) for run in runs]
    assert len(trainings) == 4
    assert [numbers(record) for record in together] == [numbers(record) for record in alone]
    assert len({str(record.accuracy_matrix) for record in together}) == 3


def test_scales_that_are_missing_come_out_as_if_all_had_been_run(make_runs, root):
    runs = make_runs(SCALES, SCENARIO)
    whole = {record.key: numbers(record) for record in execute_job(tuple(runs), root)}
    for record in execute_job(tuple(runs[1:]), root):
        assert numbers(record) == whole[record.key]


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_scale_that_fails_does_not_lose_the_others(make_runs, root, monkeypatch, when):
    runs = make_runs(SCALES, SCENARIO)
    whole = execute_job(tuple(runs), root)
    turn = methods.Merge.turn
    calls = []

    def stumbles(self, value):
        turn(self, value)
        calls.append(value)
        if value == 0.6 and calls.count(value) == {"before": 1, "during": 4, "after": 20}[when]:
            raise ArithmeticError("stumbled")

    loaded = type(preparation.prepare(runs[0], root).plugin)
    monkeypatch.setattr(loaded, "turn", stumbles)
    first, failed, last = execute_job(tuple(runs), root)
    assert (failed.status, failed.error) == ("failed", "ArithmeticError: stumbled")
    assert failed.accuracy_matrix == []
    assert [numbers(record) for record in (first, last)] == [numbers(whole[0]), numbers(whole[2])]


def test_an_evaluation_that_fails_in_the_midst_leaves_the_training_as_it_was(
    make_runs, root, monkeypatch
):
    runs = make_runs(SCALES, SCENARIO)
    whole = execute_job(tuple(runs), root)
    ready = preparation.prepare(runs[0], root)
    found = type(ready.scenario.model).forward_single_task

    def stumbles(self, x, task_label):
        if not self.training and stumbles.at is not None:
            stumbles.at -= 1
            if stumbles.at == 0:
                stumbles.at = None
                raise ArithmeticError("stumbled")
        return found(self, x, task_label)

    stumbles.at = 20  # of a curve, for one of the scales
    monkeypatch.setattr(type(ready.scenario.model), "forward_single_task", stumbles)
    records = execute_job(tuple(runs), root)
    assert sorted(record.status for record in records) == ["done", "done", "failed"]
    for record, expected in zip(records, whole, strict=True):
        assert record.status == "failed" or numbers(record) == numbers(expected)


def test_where_all_fail_the_job_ends(make_runs, root, monkeypatch):
    runs = make_runs(SCALES, SCENARIO)
    loaded = type(preparation.prepare(runs[0], root).plugin)

    def stumbles(self, value):
        raise ArithmeticError(f"stumbled at {value}")

    monkeypatch.setattr(loaded, "turn", stumbles)
    errors = [record.error for record in execute_job(tuple(runs), root)]
    assert errors == [f"ArithmeticError: stumbled at {scale}" for scale in (0.2, 0.6, 1.0)]


def test_a_training_that_fails_fails_all(make_runs, root):
    wild = SCENARIO | {"optimizer": {"name": "sgd", "learning_rate": 1e30}}
    records = execute_job(tuple(make_runs(SCALES, wild)), root)
    assert [record.status for record in records] == ["failed"] * 3
    assert all("NaN or infinite" in record.error for record in records)


@pytest.mark.thorough
def test_probes_and_early_stopping_look_at_each_run_by_itself(make_runs, root, trainings):
    runs = make_runs(SCALES, SCENARIO, probes=["distance"])
    together = execute_job(tuple(runs), root)
    assert [numbers(r) for r in together] == [numbers(execute(run, root)) for run in runs]
    del trainings[:]
    stops = {
        "family": "two_models",
        "data": "digits",
        "steps": 60,
        "width": 12,
        "target_accuracy": 0.3,
    }
    runs = make_runs(SCALES, stops)
    together = execute_job(tuple(runs), root)
    assert [numbers(r) for r in together] == [numbers(execute(run, root)) for run in runs]


@pytest.mark.usefixtures("make_runs")  # the plugin file is loaded
def test_a_suite_trains_only_for_the_scales_that_its_store_lacks(tmp_path):
    def suite(scales):
        return {
            "suite": "merging",
            "seeds": 2,
            "scenarios": {"it": SCENARIO},
            "strategies": {"merge": {"scales": scales}},
        }

    def go(scales, store):
        jobs = []
        results = run_suite(
            suite(scales),
            store=tmp_path / store,
            workers=1,
            progress=lambda told: told.record or jobs.append(told.job),
        )
        assert not results.failed
        return {r.key: numbers(r) for r in results.records}, {len(job) for job in jobs}

    whole, sizes = go([0.2, 0.6, 1.0], "whole.db")
    assert sizes == {3}
    assert go([0.6], "parts.db")[1] == {1}
    parts, sizes = go([0.2, 0.6, 1.0], "parts.db")
    assert sizes == {2}
    assert parts == whole


def test_time_is_divided_evenly(make_runs, root):
    records = execute_job(tuple(make_runs(SCALES, SCENARIO)), root)
    assert len({record.seconds for record in records}) == 1
