"""Penalties in a schedule of short visits, behind optimizers that are fresh or kept."""

from collections import defaultdict

import pytest
import torch

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.runs.preparation import TRAINING, prepare

SPACE = {"family": "space", "samples": 60, "batch_size": 20, "width": 4, "rounds": 1, "steps": 3}
VISITS = 25
OPTIMIZERS = {
    "momentum": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "adam": {"name": "adam", "learning_rate": 0.01},
    "adamw": {"name": "adamw", "learning_rate": 0.01},
}
STRENGTH = 4.0
WPL = {
    "strengths": [STRENGTH],
    "fisher": "training",
    "combine": "sum",
    "anchor": "weighted",
    "normalise": "mean",
}


def visited(run, root):
    """The weights after some visits."""
    ready = prepare(run, root)
    for number, visit in enumerate(ready.schedule.visits[:VISITS]):
        ready.strategy.train(ready.scenario.train[visit.models[0]], visit=number, **TRAINING)
    return {name: p.detach().clone() for name, p in ready.scenario.model.named_parameters()}


def make(settings, model):
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options = {"weight_decay": 0.0} | {k: v for k, v in settings.items() if k != "name"}
    rate = options.pop("learning_rate")
    return kinds[settings["name"]](model.parameters(), lr=rate, foreach=False, **options)


def step_size(optimizer, parameter):
    """How far the optimizer moves a parameter for a unit of steady gradient, by its definition."""
    (group,), state = optimizer.param_groups, optimizer.state[parameter]
    if "betas" not in group:
        return group["lr"] / (1 - group["momentum"])
    unbiased = state["exp_avg_sq"] / (1 - group["betas"][1] ** int(state["step"]))
    return group["lr"] / (unbiased.sqrt() + group["eps"])


def by_hand(run, root, kept, protects):
    """The same visits by a plain loop, with every visit's quadratic kept by itself."""
    ready = prepare(run, root)
    model, settings = ready.scenario.model, ready.settings.optimizer.model_dump()
    optimizer, quadratics = make(settings, model), defaultdict(list)
    for number, visit in enumerate(ready.schedule.visits[:VISITS]):
        (label,) = visit.models
        x, y, _ = ready.scenario.train[label].dataset.tensors
        seed = ready.strategy._order_seeds[number]
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        optimizer = optimizer if kept else make(settings, model)
        unit, squares = 1.0, {}
        if quadratics:
            every = [sum(f for f, _ in terms).flatten() for terms in quadratics.values()]
            unit = torch.cat(every).double().mean().item()
        for chosen in torch.split(order, 20)[:3]:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[chosen], label), y[chosen]).backward()
            used = {n: p for n, p in model.named_parameters() if p.grad is not None}
            for name, parameter in used.items():
                new = len(chosen) * parameter.grad**2 / 3
                squares[name] = squares.get(name, 0) + new
            optimizer.step()
            for name, parameter in used.items():
                for_all = [(f * STRENGTH / unit, a) for f, a in quadratics[name]] or None
                if protects and for_all:
                    with torch.no_grad():
                        rate = step_size(optimizer, parameter)
                        stiff = 1 + rate * sum(f for f, _ in for_all)
                        pulled = parameter + rate * sum(f * a for f, a in for_all)
                        parameter.copy_(pulled / stiff)
        for name, square in squares.items():
            own = dict(model.named_parameters())[name].detach().clone()
            quadratics[name].append((square, own))
        quadratics = defaultdict(list, {n: terms for n, terms in quadratics.items() if terms})
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("state", ["fresh", "kept"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_numbers_are_those_of_a_plain_loop(make_runs, root, optimizer, state):
    scenario = SPACE | {"optimizer": OPTIMIZERS[optimizer], "optimizer_state": state}
    (run,) = make_runs({"wpl": WPL}, scenario)
    found = visited(run, root)
    expected, free = (by_hand(run, root, state == "kept", protects) for protects in (True, False))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=2e-3, atol=2e-4)
    assert max((found[n] - free[n]).abs().max().item() for n in free) > 0.05


@pytest.mark.parametrize(
    ("strategy", "settings", "order"),
    [
        ("wpl", {}, ["ClipGradient", "WPL"]),
        ("wpl_official", {"protect": "all"}, ["WPLOfficial", "ClipPenalisedGradient"]),
    ],
)
def test_where_gradients_are_clipped(make_runs, root, strategy, settings, order):
    (run,) = make_runs({strategy: {"strengths": [1]} | settings}, SPACE | {"clip_gradient": 0.25})
    names = [type(plugin).__name__ for plugin in prepare(run, root).strategy.plugins]
    assert [name for name in names if name.startswith(("Clip", "WPL"))] == order


def test_a_search_strategy_is_refused_where_nothing_is_searched(make_runs):
    with pytest.raises(UserError, match=r"strategies\.nsas: it works in architecture searches"):
        make_runs({"nsas": {}}, SPACE)


@pytest.mark.parametrize(
    ("strategy", "settings", "told"),
    [
        ("wpl_official", {}, "protect: edges"),
        ("l2", {"protect": "edges"}, "protect: edges"),
        ("ogl", {"scope": "ops"}, "scope: ops"),
    ],
)
def test_edges_are_refused_where_there_is_no_supernet(make_runs, strategy, settings, told):
    with pytest.raises(UserError, match=rf"strategies\.{strategy}: {told} means"):
        make_runs({strategy: settings}, SPACE)
    assert make_runs({strategy: settings}, SPACE | {"family": "searched"})


def test_a_search_is_trained_with_its_strategies(make_runs, root):
    scenario = SPACE | {"family": "searched"}
    runs = make_runs(
        {"nsas": {"constraints": 1}, "ogl": {"scope": "ops"}, "finetune": {}}, scenario
    )
    *others, plain = (visited(run, root) for run in runs)
    for found in others:
        assert max((found[n] - plain[n]).abs().max().item() for n in plain) > 1e-3
