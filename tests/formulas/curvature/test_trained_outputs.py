"""Where the loss leaves out later classes, so does the information of what was learned."""

import copy

import pytest
import torch
from one_run import run_of
from references import dense_fisher, flat
from torch import nn

from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.strategies.base.likelihood import as_trained
from palimpsest.strategies.base.network import replaced_forward

SCENARIO = {
    "family": "split",
    "data": "digits",
    "samples": 200,
    "incremental": "class",
    "outputs": "seen",
    "hidden_layers": 1,
    "width": 4,
    "steps": 10,
    "batch_size": 16,
    "optimizer": {"name": "sgd", "learning_rate": 0.5},
    "curve": {"every": 0},
}
ALL = {"samples": 1000}
EVERY = {
    "ewc": ALL,
    "wpl": ALL,
    "mas": ALL,
    "laplace": ALL,
    "wpl_schur": ALL | {"damping": 1e-9},
    "rwalk": {"every": 3},
}


def trained(tmp_path, strategy, settings, experiences=1, probes=(), **changes):
    """Return what has been prepared, its model and its plugin, after some experiences."""
    run = run_of(tmp_path, SCENARIO | changes, strategy, settings, probes=probes)
    ready = prepare(run, tmp_path)
    for experience in ready.scenario.train[:experiences]:
        ready.strategy.train(experience, **TRAINING)
    return ready, ready.strategy.model, ready.plugin


def head(model):
    return next(n for n, _ in model.named_parameters() if n.endswith("head_0.weight"))


def cut(model, count):
    """Return a copy whose head has the first outputs only."""
    model = copy.deepcopy(model)
    layer = model.get_submodule(head(model).removesuffix(".weight"))
    layer.weight = nn.Parameter(layer.weight.detach()[:count])
    layer.bias = nn.Parameter(layer.bias.detach()[:count])
    return model


def moved(model, first):
    """Return a copy whose head differs from one output on."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.get_parameter(head(model))[first:] += 1
    return model


@pytest.mark.parametrize("strategy", EVERY)
def test_a_penalty_does_not_know_outputs_that_no_loss_took(tmp_path, strategy):
    _, model, plugin = trained(tmp_path, strategy, EVERY[strategy])
    assert plugin.penalty(moved(model, 1)) > 1e-4
    assert plugin.penalty(moved(model, 2)).item() == pytest.approx(0, abs=1e-6)
    _, model, plugin = trained(tmp_path, strategy, EVERY[strategy], outputs="all")
    assert plugin.penalty(moved(model, 2)) > 1e-4


@pytest.mark.parametrize("strategy", ["ewc", "wpl_schur"])
def test_the_fisher_information_is_that_of_a_smaller_head(tmp_path, strategy):
    ready, model, plugin = trained(tmp_path, strategy, EVERY[strategy] | {"strength": 1})
    model = copy.deepcopy(model)
    names = [n for n, _ in model.named_parameters()]
    x = ready.scenario.train[0].dataset.tensors[0]
    dense = dense_fisher(cut(model, 2), names, x)
    generator = torch.Generator().manual_seed(0)
    away = copy.deepcopy(model)
    with torch.no_grad():
        for p in away.parameters():
            p += torch.randn(p.shape, generator=generator)
    small, far = (list(cut(m, 2).parameters()) for m in (model, away))
    v = flat(far) - flat(small)
    expected = v @ dense @ v / 2 if strategy == "wpl_schur" else dense.diagonal() @ v.square() / 2
    assert plugin.penalty(away).item() == pytest.approx(expected.item(), rel=1e-3)


def test_each_model_has_the_outputs_of_its_own_time(tmp_path):
    """The linearised models of ``wpl_schur`` are built when the next training has begun."""
    ready, model, plugin = trained(tmp_path, "wpl_schur", EVERY["wpl_schur"], experiences=2)
    assert [earlier.outputs for earlier in plugin._earlier] == [2, 4]
    ready.strategy.train(ready.scenario.train[2], **TRAINING)
    plugin._earlier = plugin._earlier[:1]
    plugin._valued = None
    before, after = plugin.penalty(model).item(), plugin.penalty(moved(model, 2)).item()
    assert after == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize(
    ("strategy", "values"),
    [("fggm", "_fisher"), ("freeze_important", "importances"), ("spg", "importances")],
)
def test_rows_of_outputs_that_no_loss_took_are_alike(tmp_path, strategy, values):
    """All of them have gradients of zero, whatever a strategy makes of these."""
    _, model, plugin = trained(tmp_path, strategy, ALL, experiences=2)
    rows = getattr(plugin, values)[head(model)]
    assert rows[:4].std() > 1e-3
    assert rows[4:].std() < 1e-12


@pytest.mark.parametrize("outputs", ["seen", "all"])
def test_the_probe_ranks_importances_beside_the_same_information(tmp_path, outputs):
    ready, _, _ = trained(tmp_path, "ewc", ALL, probes=["importance"], outputs=outputs)
    assert all(row["correlation"] > 0.999 for row in ready.probes["importance"].rows)


def test_the_model_is_whole_again_afterwards(tmp_path):
    ready, model, _ = trained(tmp_path, "ewc", ALL)
    x = ready.scenario.train[0].dataset.tensors[0]
    inside = []
    with as_trained(ready.strategy):
        inside.append(model(x[:2], 0).shape[1])
        with replaced_forward([model], lambda _, forward, *args: 2 * forward(*args)):
            inside.append(model(x[:2], 0).shape[1])
        inside.append(model(x[:2], 0).shape[1])
    assert inside == [2, 2, 2]
    assert model(x[:2], 0).shape[1] == 10
    assert "forward" not in vars(model)
