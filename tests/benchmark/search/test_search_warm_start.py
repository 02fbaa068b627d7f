"""A warm-start is trained once for all runs that begin with it, whatever their strategy."""

from pathlib import Path

import pytest
from at_length import at_length
from test_search_text import make_run, text  # noqa: F401

from palimpsest.benchmark.runs.runner import execute_job
from palimpsest.benchmark.training.template import InMemoryTraining

STRATEGIES = {
    "finetune": {},
    "l2": {"strengths": [0.1]},
    "si": {"strengths": [1]},
    "nsas": {},
    "wpl": {"fisher": "training", "strengths": [1]},
}


def check_taken_over(runs, scratch, monkeypatch):
    """The first run trains the warm-start, and the others take it over; no result changes."""
    taken = []
    train = InMemoryTraining._train_exp

    def watched(self, experience, *rest, instead=None, **arguments):
        taken.append(instead is not None)
        train(self, experience, *rest, instead=instead, **arguments)

    monkeypatch.setattr(InMemoryTraining, "_train_exp", watched)
    for number, run in enumerate(runs):
        (alone,) = execute_job((run,), Path("/nowhere"))
        assert not any(taken)
        taken.clear()
        (shared,) = execute_job((run,), Path("/nowhere"), scratch)
        assert alone.error is None and shared.error is None
        assert taken == [number > 0] + [False] * (len(taken) - 1)
        taken.clear()
        assert shared.probes == alone.probes
        assert shared.moments == alone.moments
    assert len(list(scratch.glob("*.first"))) == 1


@pytest.mark.parametrize("optimizer", at_length(["sgd", "adam"], ["adam"]))
def test_every_strategy_takes_the_warm_start_over(make_runs, tmp_path, monkeypatch, optimizer):
    runs = make_runs(STRATEGIES, warm_start=2, optimizer={"name": optimizer, "learning_rate": 0.1})
    check_taken_over(runs, tmp_path, monkeypatch)


OTHERWISE = [
    {"cut_after_warm_start": 0.5},
    {"epochs": 1, "measured": 2, "learning_rate_decay": 0.5},
    {"visits": 12, "batches": 1},
    {"sampler": "fair", "visits": 12, "without": ["batches"]},
    {"sampler": {"name": "controller", "steps": 2, "derived": 2}},
]


@pytest.mark.parametrize("changes", at_length(OTHERWISE, OTHERWISE[:3]))
def test_searches_that_go_on_otherwise_have_the_same_warm_start(
    make_runs, tmp_path, monkeypatch, changes
):
    runs = [make_runs(**each)[0] for each in ({"warm_start": 2}, {"warm_start": 2} | changes)]
    check_taken_over(runs, tmp_path, monkeypatch)


def test_another_warm_start_is_trained(make_runs, tmp_path):
    for changes in (
        {},
        {"warm_start": 1},
        {"batch_size": 10},
        {"supernet": {"name": "toy", "units": 7}},
    ):
        (run,) = make_runs(**{"warm_start": 2} | changes)
        execute_job((run,), Path("/nowhere"), tmp_path)
    (run,) = make_runs()
    execute_job((run,), Path("/nowhere"), tmp_path)
    assert len(list(tmp_path.glob("*.first"))) == 4


def test_text_begins_anew_after_a_warm_start(make_run, tmp_path, monkeypatch):  # noqa: F811
    runs = [make_run(name, STRATEGIES[name], warm_start=1) for name in ("finetune", "wpl")]
    check_taken_over(runs, tmp_path, monkeypatch)


def test_the_learning_rate_is_cut_when_the_warm_start_is_over(make_runs):
    from palimpsest.benchmark.runs.preparation import prepare
    from palimpsest.benchmark.runs.runner import _train

    (run,) = make_runs(warm_start=1, cut_after_warm_start=0.25, learning_rate_decay=0.5)
    ready = prepare(run, Path("/nowhere"))
    rates = []

    class Rates:
        def after_training_iteration(self, strategy, **_):
            rates.append(strategy.optimizer.param_groups[0]["lr"])

    ready.strategy.plugins.append(Rates())
    for number in range(len(ready.schedule.visits)):
        _train(ready, number, None)
    assert rates == [0.2] * 12 + [0.05] * 12 + [0.025] * 12


def test_without_a_warm_start_there_is_nothing_to_cut(make_runs):
    with pytest.raises(Exception, match="cut_after_warm_start: there is no warm_start"):
        make_runs(cut_after_warm_start=0.5)
