"""Class-incremental training on the outputs of the classes so far, against a plain loop."""

import pytest
import torch
from one_run import execute
from torch import nn

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.training.template import Batches

SCENARIO = {
    "family": "split",
    "data": "digits",
    "samples": 200,
    "incremental": "class",
    "outputs": "seen",
    "hidden_layers": 1,
    "width": 8,
    "steps": 6,
    "batch_size": 16,
    "optimizer": {"name": "sgd", "learning_rate": 0.2},
    "curve": {"every": 0},
}


def head(ready):
    (weight,) = (
        p for n, p in ready.scenario.model.named_parameters() if n.endswith("head_0.weight")
    )
    return weight.detach().clone()


def test_the_loss_takes_the_outputs_of_the_classes_so_far(make_run, tmp_path):
    ready, by_hand = (prepare(make_run(), tmp_path) for _ in range(2))
    model, scenario = by_hand.scenario.model, by_hand.scenario
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for i, experience in enumerate(scenario.train):
        ready.strategy.train(ready.scenario.train[i], **TRAINING)
        seed = by_hand.strategy._order_seeds[i]
        for x, y, label in Batches(experience.dataset.tensors, 16, scenario.steps[i], seed):
            optimizer.zero_grad()
            logits = model(x, label)
            logits = logits + torch.where(torch.arange(10) < 2 * i + 2, 0.0, -torch.inf)
            nn.functional.cross_entropy(logits, y).backward()
            optimizer.step()
        torch.testing.assert_close(head(ready), head(by_hand))


@pytest.mark.parametrize("strategy", ["finetune", "lwf", "ewc", "replay", "der", "avalanche:Naive"])
def test_outputs_of_later_classes_stay(make_run, tmp_path, strategy):
    ready = prepare(make_run(strategy), tmp_path)
    before = head(ready)
    for i, experience in enumerate(ready.scenario.train):
        ready.strategy.train(experience, **TRAINING)
        moved = (head(ready) != before).any(dim=1)
        assert moved.tolist() == [c < 2 * i + 2 for c in range(10)]


def test_joint_training_takes_all_outputs(make_run, tmp_path):
    ready = prepare(make_run("joint"), tmp_path)
    before = head(ready)
    ready.strategy.train(ready.scenario.train[0], **TRAINING)
    assert (head(ready) != before).any(dim=1).all()


def test_by_default_all_outputs_are_trained_and_keys_stay(make_run, tmp_path):
    run = make_run(outputs="all")
    assert "outputs" in run.spec.scenario.defaults
    ready = prepare(run, tmp_path)
    before = head(ready)
    ready.strategy.train(ready.scenario.train[0], **TRAINING)
    assert (head(ready) != before).any(dim=1).all()
    one, other = (execute(make_run(outputs=o), tmp_path) for o in ("all", "seen"))
    assert one.accuracy_matrix != other.accuracy_matrix


@pytest.mark.parametrize("incremental", ["task", "domain"])
def test_it_is_refused_where_all_outputs_are_of_every_experience(make_run, incremental):
    with pytest.raises(UserError, match="outputs: seen is for incremental: class"):
        make_run(incremental=incremental)
