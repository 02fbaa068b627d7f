"""InfLoRA: a plain loop, what is exact about branches, and what stays."""

import copy
import math

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    THREE,
    Tape,
    double,
    every,
    make_bank,
    make_data,
    snapshot,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.strategies import InfLoRA
from palimpsest.strategies.merging.low_rank import BranchedLayer, add_branches, branched
from palimpsest.strategies.projections.dual_basis import DualBasis


class Branches(SupervisedPlugin):
    """Notes the branches when a training begins and ends, and what the network then puts out."""

    def __init__(self, plugin, x):
        super().__init__()
        self.plugin, self.x = plugin, x
        self.found, self.outputs = [], []

    def before_training_epoch(self, strategy, *_, **__):
        if len(self.found) == strategy.experience.current_experience:
            self.found.append(
                {
                    own.name: (
                        layer.reduction,
                        *[a.detach().clone() for a in layer.expansions.values()],
                    )
                    for own, layer in branched(strategy.model).items()
                    if layer.reduction is not None
                }
            )
            self.kept = {name: basis.kept() for name, basis in self.plugin.bases.items()}
            self._look(strategy)

    def after_training_epoch(self, strategy, *_, **__):
        self._look(strategy)

    def _look(self, strategy):
        label = strategy.experience.current_experience
        with torch.no_grad():
            self.outputs.append(avalanche_forward(strategy.model, self.x, label))


def weights(model):
    """The weights of a trained network by their names in the one that was given."""
    return {name.replace(".layer.", "."): p for name, p in snapshot(model).items()}


class SlowInfLoRA:
    """InfLoRA by plain loops, with a network, branches and bases of its own."""

    def __init__(self, bank, parts, optimizer, *, energy, rank):
        self.values, self.paths = snapshot(bank), bank.paths
        self.parts, self.make = parts, optimizer
        self.energy, self.rank = energy, rank
        self.bases, self.earlier = {}, set()

    def layers(self, i):
        return [f"blocks.{n}" + (".0" if n != self.paths[i][-1] else "") for n in self.paths[i]]

    def forward(self, i, x, trained, fed=None):
        for layer in self.layers(i):
            if fed is not None:
                fed[layer] = x.detach().T
            weight = trained.get(f"{layer}.weight", self.values[f"{layer}.weight"])
            if f"{layer}.a" in trained:
                weight = weight + trained[f"{layer}.a"] @ self.values[f"{layer}.b"]
            bias = trained.get(f"{layer}.bias", self.values[f"{layer}.bias"])
            x = x @ weight.T + bias
            if layer.endswith(".0"):
                x = x.tanh()
        return x

    def fed(self, i):
        found = {}
        self.forward(i, self.parts[i][0], {}, found)
        return found

    def train(self, i, batches):
        trained = {}
        for layer, h in self.fed(i).items():
            if layer not in self.earlier:
                for own in ("weight", "bias"):
                    trained[f"{layer}.{own}"] = self.values[f"{layer}.{own}"].requires_grad_()
                continue
            m = self.bases[layer]
            u, s, _ = torch.linalg.svd(h - m @ (m.T @ h))
            rank = min(self.rank, len(h) - m.shape[1])
            assert rank == 0 or s[rank - 1] > 1e-6
            self.values[f"{layer}.b"] = u[:, :rank].T / math.sqrt(3)
            outputs = len(self.values[f"{layer}.weight"])
            trained[f"{layer}.a"] = torch.zeros(outputs, rank).double().requires_grad_()
        step = self.make(trained.values())
        for x, y in batches:
            step.zero_grad()
            cross_entropy(self.forward(i, x, trained), y).backward()
            step.step()
        for layer in self.layers(i):
            if f"{layer}.a" in trained:
                self.values[f"{layer}.weight"] += trained[f"{layer}.a"] @ self.values[f"{layer}.b"]
        self.values = {name: value.detach() for name, value in self.values.items()}
        threshold = self.energy + (1 - self.energy) * i / len(self.paths)
        for layer, h in self.fed(i).items():
            self.earlier.add(layer)
            c = h @ h.T / h.shape[1]
            m = self.bases.get(layer, c.new_zeros(len(c), 0))
            rest = c - m @ m.T @ c
            u, s, _ = torch.linalg.svd(rest)
            share, count = 1 - (rest**2).sum() / (c**2).sum(), 0
            while share < threshold:
                share, count = share + s[count] ** 2 / (c**2).sum(), count + 1
            self.bases[layer] = torch.cat([m, u[:, :count]], dim=1)


@every
def test_weights_and_bases_are_those_of_a_plain_loop(optimizer):
    bank, parts = make_bank(THREE, dtype=torch.float64), double(make_data(3))
    plugin, tape = InfLoRA(energy=0.7, rank=3), Tape()
    trained = train(bank, [plugin, tape], parts=parts, optimizer=optimizer)
    slow = SlowInfLoRA(bank, parts, optimizer, energy=0.7, rank=3)
    for i, batches in enumerate(tape.batches):
        slow.train(i, batches)
    for name, value in weights(trained).items():
        torch.testing.assert_close(value, slow.values[name], rtol=1e-5, atol=1e-7, msg=name)
    for layer, m in slow.bases.items():
        kept = plugin.bases[f"{layer}.layer"].kept()
        torch.testing.assert_close(kept @ kept.T, m @ m.T, rtol=1e-5, atol=1e-7)
        assert 0 < m.shape[1] < len(m)
    plain = train(bank, parts=parts, optimizer=optimizer)
    assert (weights(trained)["blocks.y.0.weight"] - plain.blocks["y"][0].weight).abs().max() > 1e-3


@pytest.mark.parametrize("energy", [0.3, 0.9, 0.999])
def test_branches_begin_at_zero_across_what_is_kept(energy):
    bank, parts = make_bank(THREE), make_data(3)
    plugin = InfLoRA(energy=energy, rank=3)
    watch = Branches(plugin, parts[0][0])
    train(bank, [plugin, watch], parts=parts, optimizer="adam")
    first, second, third = watch.found
    assert not first
    assert set(second) == {"blocks.y.0.layer"}
    assert set(third) == {"blocks.x.0.layer", "blocks.y.0.layer"}
    for name, (reduction, expansion) in third.items():
        kept = watch.kept[name].float()
        assert kept.shape[1] > 0
        assert (reduction @ kept).abs().max() < 1e-6
        free = min(3, kept.shape[0] - kept.shape[1])
        gram = torch.zeros(3, 3)
        gram[:free, :free] = torch.eye(free) / 3  # rows of length 1 / sqrt(3); fewer, if it is full
        torch.testing.assert_close(reduction @ reduction.T, gram, rtol=0, atol=1e-6)
        assert expansion.shape == (8, 3)
        assert not expansion.any()


@every
def test_what_an_earlier_model_fed_a_layer_has_the_same_output_as_before(optimizer):
    generator = torch.Generator().manual_seed(1)
    drawn = {"generator": generator, "dtype": torch.float64}
    parts = [(x[:, :2] @ torch.randn(2, FEATURES, **drawn), y) for x, y in double(make_data())]
    outputs, states, x = [], [], parts[0][0]

    def note(_, model):
        outputs.append(model.blocks["shared"][0](x).detach())
        states.append(weights(model)["blocks.shared.0.weight"])

    bank = make_bank(dtype=torch.float64)
    own = {"parts": parts, "optimizer": optimizer, "reset": False, "after_each": note}
    train(bank, [InfLoRA(energy=1.0)], **own)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-9)
    step = states[1] - states[0]
    assert step.abs().max() > 1e-3
    assert torch.linalg.matrix_rank(step, rtol=1e-6) == 2


def test_folding_a_branch_and_opening_one_changes_no_output():
    bank, parts = make_bank(), make_data()
    plugin = InfLoRA(energy=0.5)
    watch = Branches(plugin, parts[1][0])
    bank = train(bank, [plugin, watch], parts=parts, epochs=2)
    unfolded = watch.outputs[-1]
    assert torch.equal(bank(parts[1][0], 1), unfolded)
    before, after = watch.outputs[3], watch.outputs[-1]  # when the second training began, and ended
    assert not torch.equal(before, after)
    first = train(make_bank(), [InfLoRA(energy=0.5)], parts=parts[:1], labels=[0])
    assert torch.equal(first(parts[1][0], 1), before)
    for layer in branched(bank).values():
        assert layer.reduction is None
        assert not layer.expansions


class Convolutional(nn.Module):
    """Layers that can have a branch, and others that cannot."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 6, 2, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.grouped = nn.Conv2d(6, 6, 2, groups=2)
        self.scale = nn.Parameter(torch.ones(6, 1, 1))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.norm(self.conv(x.view(-1, 1, 2, 3))).relu()
        return self.head((self.grouped(x) * self.scale).mean(dim=(2, 3)))


@every
def test_what_can_have_no_branch_stays_to_the_bit(optimizer):
    states = []
    plugin = InfLoRA(energy=0.5, rank=2)
    note = {"after_each": lambda _, m: states.append(weights(m))}
    train(Convolutional(), [plugin], optimizer=optimizer, reset=False, epochs=4, **note)
    before, after = states
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"conv.weight", "head.weight"}
    for name in moved:
        step = (after[name] - before[name]).flatten(1)
        assert torch.linalg.matrix_rank(step, rtol=1e-4) <= 2
        kept = plugin.bases[f"{name.partition('.')[0]}.layer"]
        assert step.norm() > 1e-3
        assert kept.dimension > 0


def test_a_step_of_a_convolution_is_across_the_patches_that_were_kept():
    states, bases = [], []
    plugin = InfLoRA(energy=0.8)

    def note(_, model):
        states.append(weights(model)["conv.weight"].flatten(1))
        bases.append(plugin.bases["conv.layer"].kept().float())

    train(Convolutional(), [plugin], epochs=4, optimizer="adam", after_each=note)
    assert 0 < bases[0].shape[1] < 4
    assert (states[1] - states[0]).norm() > 1e-2
    assert ((states[1] - states[0]) @ bases[0]).abs().max() < 1e-6


def test_where_nothing_is_free_a_layer_stays():
    (x, y), _ = make_data()
    states = []
    note = {"after_each": lambda _, m: states.append(weights(m))}
    train(make_bank(), [InfLoRA(energy=1.0)], parts=[(x, y), (x, y)], optimizer="adam", **note)
    before, after = states
    assert torch.equal(before["blocks.shared.0.weight"], after["blocks.shared.0.weight"])
    assert not torch.equal(before["blocks.b.weight"], after["blocks.b.weight"])


@every
def test_old_rows_of_a_head_that_grows_stay(optimizer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, 2))
    (x, y), (z, w) = make_data()
    parts = [(x, y % 2), (z, w % 2 + 2), (z, w)]
    states = []
    note = {"after_each": lambda _, m: states.append(weights(m))}
    train(model, [InfLoRA()], parts=parts, optimizer=optimizer, reset=False, **note)
    for name in ("2.classifier.weight", "2.classifier.bias"):
        first, second, third = (state[name] for state in states)
        assert torch.equal(first, second[:2])
        assert torch.equal(second, third)
        assert len(second) == CLASSES
    assert not torch.equal(states[0]["0.weight"], states[1]["0.weight"])


@pytest.mark.parametrize("grows", [False, True])
def test_beside_a_fixed_trunk_the_first_model_trains_branches_and_its_head(grows):
    torch.manual_seed(0)
    head = IncrementalClassifier(8, CLASSES) if grows else nn.Linear(8, CLASSES)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.LayerNorm(8), nn.Tanh(), head)
    plugin = InfLoRA(trunk="fixed", rank=2)
    watch = Branches(plugin, make_data()[0][0])
    trained = train(model, [plugin, watch], parts=make_data(1), optimizer="adam")
    before, after = snapshot(model), weights(trained)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    prefix = "3.classifier" if grows else "3"
    assert moved == {"0.weight", f"{prefix}.weight", f"{prefix}.bias"}
    assert torch.linalg.matrix_rank(after["0.weight"] - before["0.weight"], rtol=1e-4) == 2
    assert set(watch.found[0]) == {"0.layer"}
    x = make_data()[0][0].double()
    leading = torch.linalg.svd(x.T)[0][:, :2].T / math.sqrt(3)
    torch.testing.assert_close(watch.found[0]["0.layer"][0].double().abs(), leading.abs())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, [0.4, 0.6, 0.8]), ({"rises": False}, [0.4, 0.4, 0.4])],
    ids=["rises", "constant"],
)
def test_the_energy_rises_over_the_models(settings, expected, monkeypatch):
    asked, grown = [], DualBasis.grown

    def noting(basis, covariance, energy):
        asked.append(energy)
        return grown(basis, covariance, energy)

    monkeypatch.setattr(DualBasis, "grown", noting)
    plugin = InfLoRA(energy=0.4, **settings)
    train(make_bank(THREE), [plugin], parts=make_data(3))
    assert asked == pytest.approx([energy for energy in expected for _ in range(3)])


def test_gradients_of_what_stays_do_not_count():
    class Gradients(SupervisedPlugin):
        def before_update(self, strategy, *_, **__):
            own = strategy.model.named_parameters()
            with_gradient.append({name for name, p in own if p.grad is not None})

    with_gradient = []
    train(make_bank(), [InfLoRA(), Gradients()], epochs=1)
    head = {"blocks.b.layer.weight", "blocks.b.layer.bias"}
    assert with_gradient[-1] == {"blocks.shared.0.expansions.1", *head}


def test_layers_that_are_frozen_or_tied_have_no_branch():
    model = nn.Sequential(
        nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4), nn.Linear(4, 4)
    )
    model[3].weight = model[2].weight
    twice = nn.Linear(4, 4)
    model.append(twice)
    model.append(twice)
    add_branches(model)
    assert [type(layer) is BranchedLayer for layer in model] == [True, *[False] * 5]
    wrapped = copy.deepcopy(model)
    add_branches(model)
    assert str(model) == str(wrapped)
    x = torch.ones(2, 4)
    assert torch.equal(model[0](x), nn.functional.linear(x, model[0].weight, model[0].bias))
