"""Schedules: sub-networks of one bank in a random order, each many times."""

import pytest
import torch
from at_length import at_length
from avalanche.training.plugins import SupervisedPlugin
from one_run import execute

from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.scenarios.schedule import Visit, alternating, in_turn
from palimpsest.benchmark.store.store import Store

SPACE = {"family": "space", "samples": 120, "batch_size": 20, "width": 8}
MODELS, ROUNDS, STEPS = 20, 2, 3


def test_sub_networks_are_visited_in_a_random_order_and_evaluated_at_stated_moments(
    make_runs, root, tmp_path
):
    (run,) = make_runs({"finetune": {}}, SPACE)
    record = execute(run, root)
    assert record.error is None
    assert record.accuracy_matrix == record.validation_matrix == record.curves == []
    assert len(record.initial_accuracy) == MODELS
    moments = record.moments
    assert [moment["visit"] for moment in moments] == list(range(MODELS * ROUNDS))
    assert [moment["steps"] for moment in moments] == [
        STEPS * (visit + 1) for visit in range(MODELS * ROUNDS)
    ]
    visited = prepare(run, root).schedule.visits
    for moment, visit in zip(moments, visited, strict=True):
        for name in ("accuracy", "validation_accuracy"):
            known = [i for i, value in enumerate(moment[name]) if value is not None]
            assert known == list(visit.evaluated)
    order = [visit.models[0] for visit in visited]
    assert sorted(order) == sorted([*range(MODELS)] * ROUNDS)
    assert order[:MODELS] != sorted(order[:MODELS])
    assert record.cost["steps"] == [STEPS * ROUNDS] * MODELS
    assert all(seconds > 0 for seconds in record.cost["training_seconds"])
    with Store(tmp_path / "runs.db", create=True) as store:
        store.put(record)
        (stored,) = store.records()
    assert stored.moments == moments
    (average,) = {value for value in stored.metrics.values() if value is not None}
    assert stored.metrics["average_accuracy"] == average
    assert average == pytest.approx(sum(moments[-1]["accuracy"]) / MODELS)


def test_every_visit_has_a_learning_rate_schedule_of_its_own(make_runs, root):
    schedule = {"learning_rate_schedule": {"name": "linear"}, "steps": 4}
    (run,) = make_runs({"finetune": {}}, SPACE | schedule)
    ready = prepare(run, root)
    rates = []

    class Rates(SupervisedPlugin):
        def after_update(self, strategy, *_, **__):
            rates.append(strategy.optimizer.param_groups[0]["lr"])

    ready.strategy.plugins.append(Rates())
    for number, visit in enumerate(ready.schedule.visits[:3]):
        ready.strategy.train(ready.scenario.train[visit.models[0]], visit=number, **TRAINING)
    full = ready.settings.optimizer.learning_rate
    assert rates == pytest.approx([full * share for share in (1, 0.75, 0.5, 0.25)] * 3)


def test_the_numbers_are_those_of_a_plain_loop(make_runs, root):
    (run,) = make_runs({"finetune": {}}, SPACE)
    moments = execute(run, root).moments
    ready = prepare(run, root)
    bank, settings = ready.scenario.model, ready.settings
    seeds = ready.strategy._order_seeds
    tests = [experience.dataset.tensors for experience in ready.scenario.test]
    for number, visit in enumerate(ready.schedule.visits):
        (model,) = visit.models
        x, y, _ = ready.scenario.train[model].dataset.tensors
        generator = torch.Generator().manual_seed(seeds[number])
        order = torch.cat([torch.randperm(len(x), generator=generator)] * 1)
        optimizer = torch.optim.SGD(bank.parameters(), lr=settings.optimizer.learning_rate)
        for chosen in torch.split(order, settings.batch_size)[:STEPS]:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(bank(x[chosen], model), y[chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            for i in visit.evaluated:
                x, y, _ = tests[i]
                right = (bank(x, i).argmax(dim=1) == y).double().mean().item()
                assert moments[number]["accuracy"][i] == pytest.approx(right, abs=1e-12)


@pytest.mark.parametrize("optimizer", at_length(["sgd", "adam"], ["sgd"]))
def test_penalties_go_along_and_do_nothing_at_strength_0(make_runs, root, optimizer):
    scenario = SPACE | {"optimizer": {"name": optimizer, "learning_rate": 0.01}}
    plain, *others = make_runs(
        {
            "finetune": {},
            "l2": {"strengths": [0, 10]},
            "wpl": {"strengths": [0, 1000], "samples": 20},
            "si": {"strengths": [0, 100]},
        },
        scenario,
    )
    without = state(plain, root)
    for run in others:
        assert (state(run, root) == without) == (run.strength == 0), run.strategy


def state(run, root):
    """The weights after all visits, as numbers."""
    ready = prepare(run, root)
    for number, visit in enumerate(ready.schedule.visits[:25]):
        ready.strategy.train(ready.scenario.train[visit.models[0]], visit=number, **TRAINING)
    return {name: value.tolist() for name, value in ready.scenario.model.state_dict().items()}


def test_independent_models_go_on_from_their_own_last_visit(make_runs, root):
    (run,) = make_runs({"independent": {}}, SPACE)
    record = execute(run, root)
    assert record.error is None
    last = {}
    for moment, visit in zip(record.moments, prepare(run, root).schedule.visits, strict=True):
        last[visit.models[0]] = moment["accuracy"][visit.models[0]]
    assert record.moments[-1]["accuracy"] == [last[i] for i in range(MODELS)]
    assert record.moments[-1]["accuracy"] != record.moments[MODELS - 1]["accuracy"]


def test_training_at_once_takes_as_many_steps_and_one_moment(make_runs, root):
    (joint,) = make_runs({"joint": {}}, SPACE)
    record = execute(joint, root)
    assert record.error is None
    assert [(m["visit"], m["steps"]) for m in record.moments] == [(0, MODELS * ROUNDS * STEPS)]
    assert None not in record.moments[0]["accuracy"]
    assert record.accuracy_matrix == []
    assert record.metrics["average_accuracy"] is not None


def test_strategies_of_avalanche_are_visited_too(make_runs, root):
    (run,) = make_runs({"avalanche:Naive": {}}, SPACE | {"rounds": 1})
    record = execute(run, root)
    assert record.error is None
    assert record.cost["steps"] == [STEPS] * MODELS


def test_probes_that_need_an_order_say_why_they_have_nothing(make_runs, root):
    (run,) = make_runs({"l2": {}}, SPACE | {"rounds": 1}, probes=["distance", "similarity"])
    record = execute(run, root)
    for name in ("distance", "similarity"):
        assert record.probes[name]["absent"].startswith("models are trained by turns")


def test_what_diverges_says_in_which_visit(make_runs, root):
    wild = SPACE | {"optimizer": {"name": "sgd", "learning_rate": 1e30}}
    (run,) = make_runs({"finetune": {}}, wild)
    assert "in visit " in execute(run, root).error


def test_progress_counts_visits(make_runs, root):
    (run,) = make_runs({"finetune": {}}, SPACE | {"steps": 50, "rounds": 1})
    seen = []
    execute(run, root, progress=seen.append)
    fractions = [advance.fraction for advance in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(seen) == MODELS


@pytest.mark.parametrize("visits", [[], [Visit((0, 1), 3)], [Visit((0,), 0)], [Visit((), 3)]])
def test_a_schedule_of_nothing_is_refused(visits):
    with pytest.raises(ValueError, match="at least one"):
        alternating(visits)


def test_in_turn_every_model_is_a_row():
    schedule = in_turn([5, 7])
    assert [visit.models for visit in schedule.visits] == [(0,), (1,)]
    assert all(visit.evaluated == (0, 1) for visit in schedule.visits)
    assert schedule.at_once(2).visits == (Visit((0, 1), 12, (0, 1)),)
    assert schedule.at_once(2).fills_matrix
