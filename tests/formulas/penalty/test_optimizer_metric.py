"""The metric of an optimizer is what it does to a steady gradient."""

import copy
from functools import cache, partial

import pytest
import torch
from programs import Tape, make_bank, make_data, make_ordinary, same, train
from torch import nn, optim

from palimpsest.strategies import EWC, L2, SI, WPL, Freeze, WPLSchur
from palimpsest.strategies.penalty.optimizer_metric import Denominators, denominators, rates

KNOWN = {
    "sgd": partial(optim.SGD, lr=0.1),
    "momentum": partial(optim.SGD, lr=0.1, momentum=0.9),
    "dampened": partial(optim.SGD, lr=0.1, momentum=0.8, dampening=0.5),
    "dampened in vain": partial(optim.SGD, lr=0.1, dampening=0.5),
    "nesterov": partial(optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "adam": partial(optim.Adam, lr=0.01),
    "fused adam": partial(optim.Adam, lr=0.01, fused=True),
    "amsgrad": partial(optim.Adam, lr=0.01, amsgrad=True, eps=0.1),
    "adamw": partial(optim.AdamW, lr=0.01, weight_decay=0.0),
    "nadam": partial(optim.NAdam, lr=0.01),
    "rmsprop": partial(optim.RMSprop, lr=0.01, eps=0.1),
    "rmsprop with momentum": partial(optim.RMSprop, lr=0.01, momentum=0.5),
    "adagrad": partial(optim.Adagrad, lr=0.1, lr_decay=0.01, initial_accumulator_value=0.5),
    "sparse adam": partial(optim.SparseAdam, lr=0.01, eps=0.1),
}
GRADIENTS = ([0.3, -2.0, 1e-3], [5.0])


def steady(make, steps):
    """Take steps with a gradient that never changes; return the optimizer and the last moves."""
    parameters = [nn.Parameter(torch.zeros(len(g), dtype=torch.float64)) for g in GRADIENTS]
    optimizer = make(parameters)
    for _ in range(steps):
        before = [p.detach().clone() for p in parameters]
        for p, gradient in zip(parameters, GRADIENTS, strict=True):
            p.grad = torch.tensor(gradient, dtype=torch.float64)
            if isinstance(optimizer, optim.SparseAdam):
                p.grad = p.grad.to_sparse()
        optimizer.step()
    moves = [p.detach() - b for p, b in zip(parameters, before, strict=True)]
    return optimizer, parameters, moves


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("steps", [3, 800])
def test_a_steady_gradient_is_followed_at_the_metrics_step(name, steps):
    optimizer, parameters, moves = steady(KNOWN[name], steps)
    (rate,) = rates(optimizer)
    found = denominators(optimizer, 0, parameters)
    divided_by = found.tensors() if found else [torch.ones(())] * 2
    builds_up = "momentum" in name or name in {"nesterov", "dampened", "nadam"}
    if builds_up and steps < 100:
        pytest.skip("its momentum is not there yet")
    for gradient, move, d in zip(GRADIENTS, moves, divided_by, strict=True):
        expected = -rate / d * torch.tensor(gradient, dtype=torch.float64)
        tolerance = 2e-2 if name == "nadam" else 1e-5  # its momentum never stops growing
        torch.testing.assert_close(move, expected, rtol=tolerance, atol=1e-12)


def test_the_state_of_the_optimizer_is_not_touched():
    for make in KNOWN.values():
        optimizer, parameters, _ = steady(make, 3)
        before = copy.deepcopy(optimizer.state_dict())
        denominators(optimizer, 0, parameters)
        torch.testing.assert_close(optimizer.state_dict(), before, rtol=0, atol=0)


def test_what_the_optimizer_has_not_moved_is_not_to_be_moved():
    optimizer, parameters, _ = steady(KNOWN["adam"], 2)
    del optimizer.state[parameters[0]]
    first, second = denominators(optimizer, 0, parameters).tensors()
    assert first.tolist() == [float("inf")] * 3
    assert second.isfinite().all()


class Own(optim.SGD):
    """An optimizer of the user's, which may do anything."""


@pytest.mark.parametrize("plugin", [WPL, SI, WPLSchur])
@pytest.mark.parametrize("make", [partial(Own, lr=0.1), partial(optim.Rprop, lr=0.01)])
def test_an_unknown_optimizer_is_refused_before_it_trains(plugin, make):
    model, tape = make_ordinary(), Tape()
    for strength in (0.1, 1.0):
        with pytest.raises(ValueError, match=r"Own|Rprop.*'gradient'.*'decoupled'") as refusal:
            train(model, [plugin(strength=strength), tape], optimizer=make)
    assert "known: SGD, Adam" in str(refusal.value)
    assert tape.batches == []
    plain = train(model, optimizer=make)
    assert same(train(model, [plugin(strength=0.0)], optimizer=make), plain)
    for application in ("gradient", "decoupled"):
        other = train(model, [plugin(strength=10.0, application=application)], optimizer=make)
        assert not same(other, plain)


def test_momentum_of_one_or_more_is_refused():
    with pytest.raises(ValueError, match="momentum must be below 1"):
        rates(optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=1.0))


@pytest.mark.parametrize("factors", [[2.0], [2.0, 2.0], [2.0, 3.0]])
def test_denominators_are_multiplied_out(factors):
    roots = [torch.tensor([0.5, i]) for i in range(len(factors))]
    found = Denominators(roots, factors, [0.25] * len(factors)).tensors()
    for i, (own, factor) in enumerate(zip(found, factors, strict=True)):
        assert own.tolist() == [factor * 0.5 + 0.25, factor * i + 0.25]


def scheduled(make_scheduler, rate, make, plugin):
    """Train with a schedule that acts after each step."""

    class Schedule:
        def before_training_exp(self, strategy, *_, **__):
            self.scheduler = make_scheduler(strategy.optimizer)

        def after_training_iteration(self, *_, **__):
            self.scheduler.step()

    return train(make_bank(), [plugin, Schedule()], optimizer=lambda p: make(p, lr=rate), epochs=3)


@pytest.mark.parametrize("make", [optim.SGD, partial(optim.Adam, foreach=False)])
@pytest.mark.parametrize("plugin", [L2, WPLSchur])
def test_a_learning_rate_in_a_tensor_is_followed_by_value(make, plugin):
    def halve(optimizer):
        return optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    found = [
        scheduled(halve, rate, make, plugin(strength=30.0)) for rate in (0.1, torch.tensor(0.1))
    ]
    for a, b in zip(found[0].parameters(), found[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_schedule_of_the_momentum_is_followed():
    def cycle(optimizer):
        return optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)

    seen = []

    class Watch(L2):
        def after_update(self, strategy, *_, **__):
            super().after_update(strategy)
            group = strategy.optimizer.param_groups[0]
            for block in self._penalised.blocks if self._penalised else []:
                seen.append(block.scale * (1 - group["momentum"]) / group["lr"])

    scheduled(cycle, 0.1, partial(optim.SGD, momentum=0.9), Watch(strength=7.0))
    assert len(seen) > 5
    assert seen == pytest.approx([7.0] * len(seen))


class Logits(nn.Module):
    """Two logits that no input changes: their minimum is known."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return self.logits.expand(len(x), 2)


@cache
def ends_of(name, strength):
    """Return the logits after a first model and after a second one."""
    x, ends = torch.zeros(10, 1), []
    labels = [torch.tensor([0] * n + [1] * (10 - n)) for n in (8, 3)]
    train(
        Logits(),
        [L2(strength=strength)],
        parts=[(x, y) for y in labels],
        optimizer=KNOWN[name],
        program="in_memory",
        epochs=25,
        after_each=lambda _, model: ends.append(model.logits.detach().clone()),
    )
    return ends


@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e30])
@pytest.mark.parametrize("name", [n for n in KNOWN if n != "sparse adam"])
def test_every_strength_ends_between_the_anchor_and_the_free_end(name, strength):
    (anchor, free), (_, found) = ends_of(name, 0.0), ends_of(name, strength)
    slack = 0.05 * (free - anchor).abs()
    low, high = torch.minimum(anchor, free) - slack, torch.maximum(anchor, free) + slack
    assert ((found >= low) & (found <= high)).all()
    if strength >= 1e6:
        torch.testing.assert_close(found, anchor, rtol=0, atol=1e-3)
    if strength <= 1e-3:
        torch.testing.assert_close(found, free, rtol=0, atol=0.05)


# Several plugins at once


@pytest.mark.parametrize("application", ["proximal", "decoupled", "gradient"])
@pytest.mark.parametrize("make", ["momentum", "adam"])
def test_the_path_of_si_does_not_depend_on_which_plugin_comes_first(application, make):
    def path(order):
        watching = SI(strength=0.0)
        penalty = EWC(strength=300.0, application=application)
        train(make_bank(), [watching, penalty][::order], optimizer=make, parts=make_data(2))
        return watching.importances

    first, last = path(1), path(-1)
    for name, importance in first.items():
        torch.testing.assert_close(importance, last[name], rtol=0, atol=0)


@pytest.mark.parametrize("application", ["proximal", "gradient"])
def test_what_is_frozen_is_neither_pulled_nor_counted_whatever_the_order(application):
    def trained(order):
        penalty = EWC(strength=50.0, application=application)
        model = train(make_ordinary(), [Freeze(), penalty][::order], parts=make_data(3))
        return model, penalty.importances

    (one, first), (other, second) = trained(1), trained(-1)
    assert same(one, other)
    for name, importance in first.items():
        torch.testing.assert_close(importance, second[name], rtol=0, atol=0)
