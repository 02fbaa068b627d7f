"""Clipped gradients and smoothed labels, against plain loops."""

import copy

import pytest
import torch
from one_run import TWO_MODELS
from torch import nn

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.training.control import ClipGradient
from palimpsest.benchmark.training.loss import smoothed
from palimpsest.benchmark.training.template import Batches, InMemoryTraining
from palimpsest.strategies import L2, SI

NORM, STRENGTH = 0.3, 0.5
SCENARIO = TWO_MODELS | {
    "steps": 10,
    "hidden_layers": [2, 2],
    "shared_layers": 1,
    "curve": {"every": 0},
}


def trained(ready):
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    return {n: p.detach().clone() for n, p in ready.scenario.model.named_parameters()}


def plain(ready, loss, clip=None, application=None):
    """Two models step by step; while the second trains, an L2 penalty on what they share."""
    model, scenario = ready.scenario.model, ready.scenario
    norms, anchors = [], {}
    for i, experience in enumerate(scenario.train):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
        seed = ready.strategy._order_seeds[i]
        model.train()
        for x, y, label in Batches(experience.dataset.tensors, 32, scenario.steps[i], seed):
            optimizer.zero_grad()
            loss(model(x, label), y).backward()
            own = {n: p for n, p in model.named_parameters() if p.grad is not None}
            length = torch.stack([p.grad.norm() for p in own.values()]).norm()
            norms.append(float(length))
            if clip is not None and length > clip:
                for parameter in own.values():
                    parameter.grad *= clip / length
            shared = {n: p for n, p in own.items() if n in anchors}
            if application == "gradient":
                for name, parameter in shared.items():
                    parameter.grad += STRENGTH * (parameter.detach() - anchors[name])
            optimizer.step()
            if application in {"proximal", "decoupled"}:
                c = 0.2 * STRENGTH
                with torch.no_grad():
                    for name, parameter in shared.items():
                        parameter.copy_((parameter + c * anchors[name]) / (1 + c))
        anchors = {n: p.detach().clone() for n, p in own.items()}
    return {n: p.detach().clone() for n, p in model.named_parameters()}, norms


def assert_close(one, two):
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("application", ["gradient", "decoupled", "proximal"])
def test_the_losss_gradient_is_clipped_and_the_penalty_is_whole(make_run, tmp_path, application):
    settings = {"strengths": [STRENGTH], "application": application}
    run = make_run("l2", settings, clip_gradient=NORM)
    found = trained(prepare(run, tmp_path))
    ready = prepare(run, tmp_path)
    expected, norms = plain(ready, nn.CrossEntropyLoss(), NORM, application)
    assert_close(found, expected)
    assert min(norms) < max(norms) and max(norms) > NORM
    unclipped, _ = plain(prepare(run, tmp_path), nn.CrossEntropyLoss(), None, application)
    assert max(float((unclipped[n] - v).abs().max()) for n, v in found.items()) > 1e-2


def test_a_gradient_that_is_short_stays_as_it_is(make_run, tmp_path):
    one, two = (trained(prepare(make_run(**c), tmp_path)) for c in ({}, {"clip_gradient": 1e6}))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_path_of_si_is_that_of_the_whole_gradient():
    """SI integrates the loss's decrease: its gradient as it is, along the clipped movement."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    x, y = torch.randn(6, 3), torch.tensor([0, 1] * 3)
    start = copy.deepcopy(model)
    nn.functional.cross_entropy(start(x), y).backward()
    gradient = start.weight.grad.clone()
    nn.utils.clip_grad_norm_(start.parameters(), 0.01)
    moved = -0.5 * start.weight.grad
    si = SI(strength=1.0, damping=1.0)
    bank = ModelBank({"all": model}, [("all",)], 2)
    run_one(bank, [ClipGradient(0.01), si], x, y)
    expected = (-gradient * moved / (moved.square() + 1.0)).clamp_min(0)
    torch.testing.assert_close(si.importances["blocks.all.weight"], expected)


def run_one(bank, plugins, x, y):
    from avalanche.benchmarks import benchmark_from_datasets, with_task_labels

    from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset

    training = InMemoryTraining(
        model=bank,
        optimizer=torch.optim.SGD(bank.parameters(), lr=0.5),
        batch_size=len(x),
        steps=[1],
        order_seeds=[0],
        device="cpu",
        plugins=plugins,
    )
    made = benchmark_from_datasets(train=[InMemoryDataset.of(x, y, 0)])
    (experience,) = with_task_labels(made).streams["train"]
    training.train(experience, eval_streams=[])


def test_sparse_gradients_are_clipped():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2))
    bank = ModelBank({"all": model}, [("all",)], 2)
    before = copy.deepcopy(bank)
    run_one(bank, [ClipGradient(0.01), L2()], torch.tensor([1, 1, 2]), torch.tensor([0, 1, 1]))
    moves = [
        (a - b).detach().norm() for a, b in zip(bank.parameters(), before.parameters(), strict=True)
    ]
    assert float(torch.stack(moves).norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_labels_are_smoothed_while_training(make_run, tmp_path):
    run = make_run(label_smoothing=0.2)
    found = trained(prepare(run, tmp_path))

    def loss(outputs, targets):
        wanted = torch.full_like(outputs, 0.2 / outputs.shape[1])
        wanted[torch.arange(len(targets)), targets] += 0.8
        return -(wanted * outputs.log_softmax(dim=1)).sum(dim=1).mean()

    ready = prepare(run, tmp_path)
    assert ready.scenario.loss.label_smoothing == 0.0
    expected, _ = plain(ready, loss)
    assert_close(found, expected)
    hard, _ = plain(prepare(run, tmp_path), nn.CrossEntropyLoss())
    assert max(float((hard[n] - v).abs().max()) for n, v in found.items()) > 1e-3


def test_only_torchs_own_loss_is_smoothed():
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]), ignore_index=-1)
    own = smoothed(weighted, 0.1)
    assert own.label_smoothing == 0.1 and own.weight is weighted.weight and own.ignore_index == -1
    assert weighted.label_smoothing == 0.0
    assert smoothed(nn.functional.mse_loss, 0.0) is nn.functional.mse_loss
    with pytest.raises(UserError, match=r"torch\.nn\.CrossEntropyLoss, and its loss is mse_loss"):
        smoothed(nn.functional.mse_loss, 0.1)
