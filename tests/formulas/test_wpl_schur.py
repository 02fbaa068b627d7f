"""WPL with the Schur complement in training, compared with a plain loop on dense matrices."""

import copy
from itertools import product

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    FEATURES,
    OPTIMIZERS,
    THREE,
    Alternating,
    Tape,
    assert_close,
    distance,
    double,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    same,
    step_size,
    train,
)
from references import dense_omega, flat
from torch import nn

from palimpsest.benchmark.runs.cost import state_bytes
from palimpsest.strategies import WPLSchur

DAMPING = 0.03
TWO = (("shared", "a"), ("shared", "b"))
both_privates = pytest.mark.parametrize("private", ["follows", "fixed"])
both_applications = pytest.mark.parametrize("application", ["proximal", "gradient"])


class Dense:
    """The slow form of the penalty of all earlier models, on any parameters."""

    def __init__(self, parts, private, strength):
        self.parts, self.private, self.strength = parts, private, strength
        self.models, self.forces = [], {}

    def remember(self, i, model, used):
        self.forces = {}
        self.models.append((i, copy.deepcopy(model), list(used)))

    def terms(self, used):
        for i, model, own in self.models:
            shared = [name for name in own if name in used]
            private = [n for n in own if n not in shared] if self.private == "follows" else []
            if shared:
                omega = dense_omega(model, shared, private, self.parts[i][0], i, damping=DAMPING)
                yield shared, omega, flat(model.get_parameter(name) for name in shared)

    def loss(self, _, used):
        total = None
        for shared, omega, anchor in self.terms(used):
            v = torch.cat([used[name].flatten() for name in shared]) - anchor
            term = self.strength / 2 * v @ omega @ v
            total = term if total is None else total + term
        return total

    def proximal(self, _, used, __, optimizer):
        names = list(used)
        places, start = {}, 0
        for name in names:
            places[name] = torch.arange(start, start + used[name].numel())
            start += used[name].numel()
        theta = flat(used.values())
        earlier = {name for _, _, own in self.models for name in own}
        sizes = self.sizes(optimizer, {n: p for n, p in used.items() if n in earlier})
        sizes = flat(sizes.get(name, torch.zeros_like(p)) for name, p in used.items())
        matrix, right = torch.eye(start).to(theta), theta.clone()
        for shared, omega, anchor in self.terms(used):
            at = torch.cat([places[name] for name in shared])
            pull = sizes[at, None] * self.strength * omega
            matrix[at[:, None], at] += pull
            right[at] += pull @ anchor
        solved = torch.linalg.solve(matrix, right)
        for name in names:
            before, p = used[name].clone(), used[name]
            p.copy_(solved[places[name]].view_as(p))
            if name in self.forces:
                force = (before - p) / sizes[places[name]].view_as(p)
                self.forces[name] = 0.9 * self.forces[name] + 0.1 * force**2

    def sizes(self, optimizer, used):
        """Steps as the optimizer takes them, but not where the penalty alone has a gradient."""
        sizes = {name: step_size(optimizer, p) * torch.ones_like(p) for name, p in used.items()}
        group = optimizer.param_groups[0]
        rate = group["lr"] / (1 - group.get("momentum", 0))
        if isinstance(optimizer, torch.optim.SGD) or not used:
            return sizes
        typical = flat((rate / size) ** 2 for size in sizes.values()).mean()
        for name, size in sizes.items():
            force = self.forces.setdefault(name, typical * torch.ones_like(size))
            sizes[name] = rate / torch.maximum(rate / size, force.sqrt() / 2)
        return sizes


EVERY_WAY = [
    *(("proximal", "follows", 3, optimizer) for optimizer in OPTIMIZERS),
    *(("proximal", "fixed", 2, optimizer) for optimizer in OPTIMIZERS),
    ("proximal", "follows", 2, "sgd"),
    ("proximal", "fixed", 3, "sgd"),
    # What is added to the gradient does not know the optimizer.
    *(("gradient", *way, "momentum") for way in product(["follows", "fixed"], [2, 3])),
]


@pytest.mark.parametrize(("application", "private", "models", "optimizer"), EVERY_WAY)
def test_training_is_that_of_the_dense_penalty(application, private, models, optimizer):
    strength, bank = 30.0, make_bank({2: TWO, 3: THREE}[models], dtype=torch.float64)
    parts = double(make_data(models))
    tape = Tape()
    plugin = WPLSchur(strength=strength, private=private, application=application, damping=DAMPING)
    how = {"program": "in_memory", "epochs": 1, "optimizer": optimizer}
    trained = train(bank, [plugin, tape], parts=parts, **how)
    dense = Dense(parts, private, strength)
    hooks = {"after_model": dense.remember}
    if application == "gradient":
        hooks["extra_loss"] = dense.loss
    else:
        hooks["after_step"] = dense.proximal
    expected = replay(bank, tape.batches, optimizer=optimizer, **hooks)
    assert_close(trained, expected, rtol=1e-6, atol=1e-8)
    plain = replay(bank, tape.batches, optimizer=optimizer)
    assert distance(plain, trained) > 1e-3


def test_without_private_parameters_omega_is_the_fisher_information():
    def weights(private):
        plugin = WPLSchur(strength=10.0, private=private)
        return train(make_ordinary(), [plugin], program="in_memory")

    assert same(weights("follows"), weights("fixed"))
    assert not same(weights("fixed"), train(make_ordinary(), program="in_memory"))


@both_privates
def test_normalisation_is_that_of_evaluation_and_its_statistics_are_left_alone(private):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4))
    seen = []

    class Buffers(SupervisedPlugin):
        """After the penalty has been applied, in each step."""

        def before_backward(self, strategy, *_, **__):
            before.update({n: b.clone() for n, b in strategy.model.named_buffers()})

        def after_training_iteration(self, strategy, *_, **__):
            seen.append(all(torch.equal(b, before[n]) for n, b in strategy.model.named_buffers()))
            assert all(module.training for module in strategy.model.modules())

    before = {}
    plugin = WPLSchur(strength=5.0, private=private)
    trained = train(model, [plugin, Buffers()], program="in_memory")
    assert len(seen) == 2 * 2 * 4
    assert all(seen)
    kept = plugin._earlier[0].buffers["1.running_mean"]
    assert not torch.equal(kept, trained[1].running_mean)


@both_applications
def test_a_parameter_group_of_its_own_rate_is_honoured(application):
    """A group that does not learn is not moved by the penalty either, whatever the others do."""

    def groups(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.0}, {"params": rest}], lr=0.1)

    bank = make_bank()
    plugin = WPLSchur(strength=10.0, application=application)
    trained = train(bank, [plugin], program="in_memory", optimizer=groups)
    assert torch.equal(trained.blocks["shared"][0].weight, bank.blocks["shared"][0].weight)
    free = train(bank, program="in_memory", optimizer=groups)
    assert not torch.equal(trained.blocks["shared"][0].bias, free.blocks["shared"][0].bias)


class Builds(WPLSchur):
    """Counts how often the solution is found."""

    builds = 0

    def _build(self, *arguments):
        self.builds += 1
        return super()._build(*arguments)


def test_a_schedule_of_all_rates_costs_nothing_and_is_honoured():
    class Decay(SupervisedPlugin):
        def before_update(self, strategy, *_, **__):
            for group in strategy.optimizer.param_groups:
                group["lr"] *= 0.9
                rates.append(group["lr"])

    rates, plugin, tape = [], Builds(strength=3.0, damping=DAMPING), Tape()
    bank, parts = make_bank(dtype=torch.float64), double(make_data())
    trained = train(bank, [plugin, tape, Decay()], parts=parts, program="in_memory", epochs=1)
    assert plugin.builds == 1  # for the second model
    dense, left = Dense(parts, "follows", 3.0), iter(rates)

    def step(i, used, before, optimizer):
        rate = next(left)
        with torch.no_grad():
            for name, p in used.items():  # the replay's optimizer took a step of 0.1
                p.copy_(before[name] - rate * p.grad)
        optimizer.param_groups[0]["lr"] = rate
        dense.proximal(i, used, before, optimizer)
        optimizer.param_groups[0]["lr"] = 0.1

    expected = replay(bank, tape.batches, after_step=step, after_model=dense.remember)
    assert_close(trained, expected, rtol=1e-6, atol=1e-8)


def test_a_learning_rate_of_zero_behind_adam_neither_stops_nor_repeats_the_solution():
    class FromZero(SupervisedPlugin):
        """A schedule whose first learning rate is 0."""

        def before_training_exp(self, strategy, *_, **__):
            strategy.optimizer.param_groups[0]["lr"] = 0.0

        def after_training_iteration(self, strategy, *_, **__):
            strategy.optimizer.param_groups[0]["lr"] = 0.02

    plugin, how = Builds(strength=3.0), {"program": "in_memory", "optimizer": "adam"}
    trained = train(make_bank(), [plugin, FromZero()], **how)
    assert plugin.builds == 1
    assert not same(trained, train(make_bank(), [FromZero()], **how))


@both_applications
def test_paths_that_alternate_are_solved_once_each(application):
    plugin = Builds(strength=1.0, application=application)
    train(Alternating(), [plugin], program="in_memory")
    assert plugin.builds == 2  # each path of the second model


def test_strength_zero_keeps_and_builds_nothing():
    plugin = Builds(strength=0)
    trained = train(make_bank(), [plugin], program="in_memory")
    assert plugin.builds == 0
    assert state_bytes(plugin, trained) == 0


def test_what_is_kept_is_counted():
    plugin, bank = WPLSchur(samples=30), make_bank()
    trained = train(bank, [plugin], program="in_memory")
    model_size = [sum(p.numel() for p in bank.parameters_of(i).values()) for i in (0, 1)]
    kept = 4 * (2 * 30 * FEATURES + sum(model_size))
    basis = next(iter(plugin._penalties.values())).basis
    assert kept + basis.numel() * 4 <= state_bytes(plugin, trained) < kept + 4 * (30 * 3) ** 2 * 2


@both_applications
@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_old_rows_of_a_grown_head_are_protected(application, program):
    """Omega knows the two classes of the first experience; the other two came later."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, initial_out_features=2)
    )
    (x, y), (z, w) = make_data()
    parts = [(x, y % 2), (z, w % 2 + 2)]

    def drift(strength):
        outputs = []

        def look(i, trained):
            with torch.no_grad():
                outputs.append(trained(x)[:, :2].softmax(-1))

        plugin = WPLSchur(strength=strength, application=application)
        options = {"parts": parts, "program": program, "epochs": 5, "after_each": look}
        trained = train(model, [plugin], **options)
        assert trained[2].classifier.out_features == 4
        return (outputs[1] - outputs[0]).abs().max()

    assert drift(100.0 if application == "proximal" else 5.0) < 0.5 * drift(0.0)
