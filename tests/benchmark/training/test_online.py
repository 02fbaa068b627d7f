"""Online: one pass over the data of each model, in small batches."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from one_run import execute, run_of
from pydantic import ValidationError

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.runs.preparation import scenario_settings
from palimpsest.benchmark.scenarios.checking import check_training
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.scenarios.schedule import Visit, alternating

NOWHERE = Path("/nowhere")
ONLINE = {
    "family": "split",
    "data": "digits",
    "samples": 300,
    "incremental": "class",
    "width": 6,
    "online": True,
    "curve": {"every": 0},
}


@pytest.mark.parametrize("name", ["two_models", "model_sequence", "split", "permuted", "rotated"])
def test_it_sets_one_epoch_and_batches_of_ten_in_every_family(name):
    settings = FAMILIES[name](family=name, online=True)
    assert (settings.epochs, settings.steps, settings.batch_size) == (1, None, 10)
    assert settings.steps_for(101) == 11
    stored = settings.model_dump(mode="json")
    assert stored["online"] is True
    assert FAMILIES[name].model_validate(stored) == settings


def test_the_batch_size_may_be_another_and_one_epoch_may_be_written():
    assert Split(online=True, batch_size=1).batch_size == 1
    assert Split(online=True, epochs=1).batch_size == 10
    assert Split(online=False, epochs=3).batch_size == 64


@pytest.mark.parametrize("length", [{"epochs": 2}, {"steps": 100}, {"steps": 100, "epochs": None}])
def test_other_lengths_are_refused(length):
    with pytest.raises(ValidationError, match="online is one pass over the data: remove"):
        TwoModels(online=True, **length)


@pytest.mark.parametrize("value", ["yes", 1, [], None])
def test_it_is_true_or_false(value):
    with pytest.raises(ValidationError):
        Split(online=value)


def test_a_scenario_with_visits_of_its_own_is_refused():
    settings = Split(online=True, width=4)
    scenario = settings.build(0, NOWHERE, "cpu")
    check_training(settings, scenario)
    visits = replace(scenario, schedule=alternating([Visit(models=(0,), steps=3, evaluated=(0,))]))
    with pytest.raises(UserError, match="online: the scenario returns to its models"):
        check_training(settings, visits)
    check_training(Split(width=4), visits)


def trained_on(monkeypatch, run):
    """How often a run trains on each input, and the sizes of its batches."""
    seen, sizes, forward = Counter(), [], ModelBank.forward

    def watched(self, x, *rest):
        if self.training:
            sizes.append(len(x))
            seen.update(sample.numpy().tobytes() for sample in x)
        return forward(self, x, *rest)

    monkeypatch.setattr(ModelBank, "forward", watched)
    record = execute(run, NOWHERE)
    assert record.status == "done", record.error
    monkeypatch.undo()
    scenario = scenario_settings(run.spec).build(run.seed, NOWHERE, "cpu")
    inputs = [x.numpy().tobytes() for e in scenario.train for x in e.dataset.tensors[0]]
    assert set(inputs) == set(seen)
    return [seen[x] for x in inputs], sizes


@pytest.mark.parametrize(
    "strategy", ["finetune", "joint", "avalanche:Naive", "avalanche:JointTraining"]
)
def test_every_sample_is_trained_on_once(monkeypatch, tmp_path, strategy):
    settings = {"arguments": {}} if ":" in strategy else {}
    counts, sizes = trained_on(monkeypatch, run_of(tmp_path, ONLINE, strategy, settings))
    assert set(counts) == {1}
    assert max(sizes) == 10


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [("avalanche:Replay", {"arguments": {"mem_size": 20}}), ("replay", {"memory": 20})],
)
def test_replay_adds_samples_to_a_step_and_repeats_no_new_one(
    monkeypatch, tmp_path, strategy, settings
):
    run = run_of(tmp_path, ONLINE, strategy, settings)
    counts, sizes = trained_on(monkeypatch, run)
    replayed = [count for count in counts if count > 1]
    assert 0 < len(replayed) <= 5 * 20
    assert counts.count(1) == len(counts) - len(replayed)
    assert max(sizes) == 20
