"""SPG: its importances and steps against plain loops, and what is exact about them."""

import copy
from itertools import pairwise

import pytest
import torch
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    DOUBLE,
    OPTIMIZERS,
    THREE,
    Tape,
    assert_close,
    double,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    snapshot,
    still,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.strategies import SPG


class Slow:
    """The method as the paper has it, one sample and one tensor at a time."""

    def __init__(self, parts, strength=1.0, importance="cross_head", private="scaled"):
        self.parts, self.strength = parts, strength
        self.importance, self.private = importance, private
        self.a = {}

    def after_model(self, i, model, used):
        model = copy.deepcopy(model)
        own = dict(model.named_parameters())
        for tau in range(i + 1):
            total = {}
            for x, y in zip(*self.parts[i], strict=True):
                model.zero_grad()
                logits = avalanche_forward(model, x[None], tau)
                if tau == i or self.importance == "loss":
                    cross_entropy(logits, y[None]).backward()
                else:
                    logits.sum().backward()
                for name, parameter in own.items():
                    if parameter.grad is not None:
                        total[name] = total.get(name, 0) + parameter.grad
            for name, g in total.items():
                if not g.any():
                    gamma = torch.zeros_like(g)
                else:
                    mean = g.sum() / g.numel()
                    deviation = (((g - mean) ** 2).sum() / (g.numel() - 1)).sqrt()
                    gamma = ((g - mean) / deviation).tanh().abs()
                before = self.a.get(name, torch.zeros_like(g))
                self.a[name] = torch.where(gamma > before, gamma, before)

    def after_step(self, i, used, before, _):
        shared = {n: (1 - self.a[n]) ** self.strength for n in used if n in self.a}
        if not shared:
            return
        mean = torch.cat([s.flatten() for s in shared.values()]).mean()
        for name, parameter in used.items():
            own = mean if self.private == "scaled" else 1.0
            share = shared.get(name, own)
            parameter.copy_(before[name] + share * (parameter - before[name]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"importance": "loss"}, {"private": "free", "strength": 0.5}],
    ids=["published", "loss", "free"],
)
def test_importances_and_steps_are_those_of_a_plain_loop(optimizer, settings):
    bank, parts = make_bank(THREE, **DOUBLE), double(make_data(3))
    plugin, tape, slow = SPG(**settings), Tape(), Slow(parts, **settings)
    found = train(bank, [plugin, tape], parts=parts, optimizer=optimizer)
    wanted = replay(
        bank,
        tape.batches,
        optimizer=optimizer,
        after_step=slow.after_step,
        after_model=slow.after_model,
    )
    assert_close(found, wanted)
    assert plugin.importances.keys() == slow.a.keys()
    for name, a in slow.a.items():
        torch.testing.assert_close(plugin.importances[name], a)


def test_importances_are_shares_and_never_fall():
    plugin, seen = SPG(), []

    def note(*_):
        seen.append({name: a.clone() for name, a in plugin.importances.items()})

    train(make_bank(THREE), [plugin], parts=make_data(3), after_each=note)
    for before, after in pairwise(seen):
        assert all((after[name] >= a).all() for name, a in before.items())
    for a in seen[-1].values():
        assert (a >= 0).all() and (a <= 1).all()
    first = [a.mean().item() for name, a in seen[0].items() if a.numel() > 8]
    assert all(0.2 < mean < 0.7 for mean in first)  # nothing is scaled away


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_parameter_at_1_never_moves(optimizer):
    plugin, states = SPG(), []

    def note(_, model):
        states.append(snapshot(model))
        plugin.importances = {name: torch.ones_like(a) for name, a in plugin.importances.items()}

    train(make_bank(), [plugin], optimizer=optimizer, after_each=note, reset=False)
    before, after = states
    assert all(torch.equal(before[name], after[name]) for name in before)  # nor what is private


def test_other_heads_count():
    plugins = [SPG(), SPG()]

    def forget(*_):
        plugins[1]._labels = []

    three = make_bank(THREE)
    train(three, plugins[:1], parts=make_data(3), optimizer=still)
    train(three, plugins[1:], parts=make_data(3), optimizer=still, after_each=forget)
    whole, part = (plugin.importances for plugin in plugins)
    assert all((whole[name] >= part[name]).all() for name in part)
    assert (whole["blocks.y.0.weight"] > part["blocks.y.0.weight"]).double().mean() > 0.2


def test_without_a_step_there_is_no_importance():
    plugin = SPG()
    train(make_bank(), [plugin], epochs=0)
    assert not plugin.importances


def test_scaled_gradients_are_scaled_steps_behind_sgd_alone():
    found = [train(make_bank(), [SPG(scales=what)]) for what in ("update", "gradient")]
    assert_close(*found)
    for optimizer in ("adam", "momentum"):
        with pytest.raises(ValueError, match="only the steps of SGD without momentum and weight"):
            train(make_bank(), [SPG(scales="gradient")], optimizer=optimizer)


@pytest.mark.parametrize("optimizer", ["name: adam", "name: sgd, weight_decay: 0.1"])
def test_suites_are_refused_that_scale_gradients_behind_other_optimizers(tmp_path, optimizer):
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\nseeds: 1\nscenarios:\n"
        "  a: {family: two_models, data: digits, second_optimizer: {" + optimizer + "}}\n"
        "strategies:\n  spg: {scales: gradient}\n"
    )
    with pytest.raises(UserError, match=r"line 6: .*scales: gradient holds nothing"):
        load_suite(suite)


def test_tensors_without_a_spread_have_no_importance():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.inner = make_ordinary()

        def forward(self, x):
            return self.inner(x) * self.scale

    plugin = SPG()
    found = train(One(), [plugin])
    assert plugin.importances["scale"].tolist() == [0.0]
    assert all(p.isfinite().all() for p in found.parameters())


def test_heads_that_grow_have_no_importance_in_what_is_new():
    from avalanche.models import IncrementalClassifier

    (x, y), (more, _) = make_data()
    parts = [(x, y % 2), (more, 2 + y % 2)]
    plugin, states, began = SPG(), [], []

    class Looks(SupervisedPlugin):
        def before_training_epoch(self, strategy, *_, **__):
            began.append(dict(plugin.importances))

    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), IncrementalClassifier(8, 1))
    note = {"after_each": lambda *_: states.append(dict(plugin.importances))}
    train(model, [plugin, Looks()], parts=parts, epochs=1, **note)
    (name,) = [n for n in plugin.importances if n.endswith("classifier.weight")]
    assert states[0][name].shape == (2, 8)
    assert torch.equal(began[1][name], torch.cat([states[0][name], torch.zeros(2, 8)]))
    assert plugin.importances[name].shape == (CLASSES, 8)


def test_gradients_are_those_of_evaluation_mode():
    found = []
    for rate in (0.0, 0.5):
        plugin, model = SPG(), make_ordinary()
        model.insert(1, nn.Dropout(rate))
        train(model, [plugin], optimizer=still)
        found.append(plugin.importances)
    assert all(torch.equal(a, found[1][name]) for name, a in found[0].items())


def test_samples_of_several_models_count_each_for_its_own(monkeypatch):
    parts, alone = make_data(), []
    for i in range(2):
        plugin = SPG()
        train(make_bank(), [plugin], parts=parts[i : i + 1], labels=[i], optimizer=still)
        alone.append(plugin.importances)
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    labels = torch.arange(2).repeat_interleave(len(parts[0][0]))
    monkeypatch.setattr("palimpsest.strategies.spg.draw", lambda *_: (x, y, labels))
    plugin = SPG()
    train(make_bank(), [plugin], parts=parts[:1], optimizer=still)
    for name in ("blocks.shared.0.weight", "blocks.shared.0.bias"):
        expected = alone[0][name].maximum(alone[1][name])
        # Gradients of single precision: processors differ in the last digits.
        torch.testing.assert_close(plugin.importances[name], expected, rtol=1e-6, atol=1e-6)
