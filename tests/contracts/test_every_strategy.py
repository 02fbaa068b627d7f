"""What every strategy that ships must do: the kit's properties, and what only importances have."""

from typing import Literal, get_args, get_origin

import pytest
import torch
from at_length import at_length
from avalanche.models import IncrementalClassifier
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    THREE,
    make_bank,
    make_data,
    same,
    snapshot,
    train,
)
from pydantic import ValidationError
from torch import nn

from palimpsest.benchmark.kit.candidate import candidates
from palimpsest.benchmark.kit.check import PROPERTIES, check, verdict
from palimpsest.strategies import L2, Regularizer
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.penalty.shared_parameters import SharedParameterPenalty


def applied_as_l2(penalty):
    """Whether all of its steps are those that L2, the plainest of the penalties, takes too."""
    steps = ("after_backward", "observe_gradients", "before_update", "after_update")
    return all(getattr(penalty, step, None) is getattr(L2, step) for step in steps)


def choices():
    """Every choice that a setting of a strategy has beside its default.

    How a penalty is applied is asked of L2, and of every penalty with a step of its own.
    """
    for name, entry in STRATEGIES.items():
        for setting, field in entry.Settings.model_fields.items():
            if setting == "application" and name != "l2" and applied_as_l2(entry):
                continue
            # Refused: behind most optimizers, of banks, alone, with the default start.
            if setting in ("scales", "infer", "above", "experts"):
                continue
            if get_origin(field.annotation) is Literal:
                for value in get_args(field.annotation):
                    if value != field.default:
                        asked = name == "l2" and setting == "application"
                        marks = [] if asked else [pytest.mark.thorough]
                        id_ = f"{name} {setting} {value}"
                        yield pytest.param(name, {setting: value}, id=id_, marks=marks)


def of_kind(kind, setting=None):
    """The strategies whose class is of a kind, and that have a setting."""
    return [
        pytest.param(entry, id=name)
        for name, entry in STRATEGIES.items()
        if issubclass(entry, kind) and (setting is None or setting in entry.Settings.model_fields)
    ]


every_importance = pytest.mark.parametrize("penalty", of_kind(Regularizer))


FEW = {"wpl_schur": {"samples": 20}}
"""Its time grows with the square of the samples."""

FEWER = {"wpl_schur": {"samples": 10}}
"""With these it does not rest at the minimum, of which its choices are not asked."""


PUBLISHED = {
    # A penalty that is added to the gradient and compounds diverges where nothing is clipped.
    "wpl_official": {"precision changes rounding alone"},
}
"""Programs that are rebuilt with their faults, and the properties that they do not have."""


FOUND = ("fail", "weak")
"""What no strategy of this project may be; a user's may be weak."""


LONG = {*STRATEGIES} - {"finetune", "freeze", "replay", "wpl"}
"""Asked thoroughly alone."""


@pytest.mark.parametrize("name", at_length(STRATEGIES, LONG))
def test_it_has_the_properties_of_the_kit(name):
    (candidate,) = candidates(name, FEW.get(name, {}))
    found = list(check(candidate))
    assert {v.property for v in found if v.outcome in FOUND} == PUBLISHED.get(name, set()), found
    assert sum(v.outcome == "pass" for v in found) >= 6


CHEAP = {
    "deterministic",
    "works in plain Avalanche",
    "modes are left as found",
    "evaluation changes nothing",
    "memory grows as declared",
    "evaluation does not draw",
    "a checkpoint keeps everything",
    "hooks are called",
    "adapting twice is adapting once",
    "evaluating puts everything back",
    "drawn weights are put back",
    "turning trains nothing",
    "private parts are not merged",
    "one model alone is itself",
}
"""What takes half a second of a strategy, asked of those whose whole kit is thorough."""


def test_cheap_properties_are_properties():
    assert {each.name for each in PROPERTIES} >= CHEAP


@pytest.mark.parametrize("name", sorted(LONG))
def test_it_has_the_cheap_properties_of_the_kit(name):
    (candidate,) = candidates(name, FEWER.get(name, {}))
    found = [verdict(wanted, candidate) for wanted in PROPERTIES if wanted.name in CHEAP]
    assert not {v.property: v.detail for v in found if v.outcome in FOUND}
    assert sum(v.outcome == "pass" for v in found) >= 4


SLOW = {"protects behind every optimizer", "rests at the minimum", "memory grows as declared"}
"""Asked of the defaults alone."""

OF_THE_APPLICATION = {"strength 0 is fine-tuning", "a huge strength holds"}
"""Behind many optimizers each: asked where how a penalty is applied is chosen."""

WEAK = {
    ("ogl", "loss"): {"protects the earlier model"},  # a single direction, mostly noise
    # What the new model needs is free, whatever earlier ones need; among all, that is no bias.
    ("fggm", "all"): {"protects the earlier model", "capacity is accounted for"},
    ("fggm", "batched"): {"protects the earlier model"},
    ("migu", "all"): {"protects the earlier model"},
    # It tells of what earlier models used, and biases of a fixed trunk stay before that, too.
    ("inflora", "fixed"): {"capacity is accounted for"},
}
"""Choices that are there because they are published, and what they do not do."""

for merge in ("task_arithmetic", "running_average", "ties", "opcm", "pic"):
    WEAK[merge, "initial"] = {"protects the earlier model"}  # which is for pre-trained networks


@pytest.mark.parametrize(("name", "settings"), list(choices()))
def test_so_it_has_with_every_choice_of_its_settings(name, settings):
    (candidate,) = candidates(name, settings | FEWER.get(name, {}))
    slow = SLOW if "application" in settings else SLOW | OF_THE_APPLICATION
    slow = slow | PUBLISHED.get(name, set()) | WEAK.get((name, *settings.values()), set())
    found = [verdict(wanted, candidate) for wanted in PROPERTIES if wanted.name not in slow]
    assert not {v.property: v.detail for v in found if v.outcome in FOUND}


@pytest.mark.parametrize("name", STRATEGIES)
def test_settings_that_mean_nothing_are_refused(name):
    settings = STRATEGIES[name].Settings
    wrong = [{"lambda_": 1}]
    if "strength" in settings.model_fields:
        wrong += [{"strength": -1}, {"strength": float("inf")}, {"strength": float("nan")}]
    for each in wrong:
        with pytest.raises(ValidationError):
            settings(**each)


def everywhere(penalty):
    """Settings that let a penalty protect any model, where it can be told what to protect."""
    return {"protect": "all"} if "protect" in penalty.Settings.model_fields else {}


@pytest.mark.parametrize("penalty", of_kind(SharedParameterPenalty))
def test_a_penalty_is_zero_where_nothing_is_known_and_where_a_model_ended(penalty):
    plugin = penalty(strength=2.0, **everywhere(penalty))
    assert plugin.penalty(make_bank()).item() == 0
    trained = train(make_bank(), [plugin], parts=make_data(1))
    assert plugin.penalty(trained).item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        for parameter in trained.parameters_of(0).values():
            parameter += torch.linspace(-0.3, 0.3, parameter.numel()).view_as(parameter)
    assert plugin.penalty(trained).item() > 1e-4


@pytest.mark.parametrize("penalty", of_kind(SharedParameterPenalty, "samples"))
def test_the_seed_decides_which_samples_a_penalty_is_estimated_from(penalty):
    def trained(seed):
        return train(make_bank(), [penalty(samples=5, seed=seed, strength=10.0)])

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


@pytest.mark.parametrize("penalty", of_kind(Regularizer, "samples"))
def test_each_model_draws_its_own_samples(penalty):
    class Recording(penalty):
        def estimate(self, strategy, parameters):
            estimates.append(super().estimate(strategy, parameters))
            return estimates[-1]

    estimates, part = [], make_data(1)[0]
    train(
        make_bank((("shared", "a"), ("shared", "a"))),
        [Recording(samples=5)],
        parts=[part, part],
        optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
    )
    first, second = (estimate["blocks.shared.0.weight"] for estimate in estimates)
    assert not torch.allclose(first, second, rtol=1e-3)


@every_importance
def test_importances_are_not_negative_and_cover_what_was_trained(penalty):
    bank, plugin = make_bank(THREE), penalty(protect="all")
    bank.get_parameter("blocks.y.0.bias").requires_grad_(False)
    seen = []
    train(
        bank,
        [plugin],
        parts=make_data(3),
        after_each=lambda *_: seen.append((set(plugin.importances), set(plugin.anchors))),
    )
    expected = set()
    for model in range(3):
        expected |= set(bank.parameters_of(model)) - {"blocks.y.0.bias"}
        assert seen[model] == (expected, expected)
    assert all((value >= 0).all() for value in plugin.importances.values())
    assert all(value.max() > 0 for value in plugin.importances.values())


class Watch(SupervisedPlugin):
    """Keeps the weights, and a penalty's importances, as a model finds them."""

    def __init__(self, plugin):
        super().__init__()
        self.plugin = plugin
        self.found = []

    def before_training_exp(self, strategy, *_, **__):
        known = {name: value.clone() for name, value in self.plugin.importances.items()}
        self.found.append((snapshot(strategy.model), known))


@every_importance
@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_old_rows_of_a_head_that_grew_are_protected_and_new_ones_are_free(penalty, program):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, initial_out_features=2)
    )
    (x, y), (z, w) = make_data()
    plugin = penalty(strength=1e15, protect="all", application="proximal")
    watch = Watch(plugin)
    trained = train(
        model,
        [plugin, watch],
        parts=[(x, y % 2), (z, w % 2 + 2)],
        program=program,
        epochs=5,
    )
    before, importances = watch.found[1]
    moved = (trained[2].classifier.weight - before["2.classifier.weight"]).abs()
    important = importances["2.classifier.weight"] > 1e-5
    assert important[:2].all()
    assert moved[:2].max() <= 1e-6
    assert not important[2:].any()
    assert moved[2:].max() > 0.01
    for name, parameter in trained.named_parameters():
        assert plugin.importances[name].shape == plugin.anchors[name].shape == parameter.shape
    assert trained[2].classifier.out_features == CLASSES


class Recurrent(nn.Module):
    """A network that reads the same features in every step of a sequence."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.LSTM(FEATURES, 5, batch_first=True)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.head(self.cell(x[:, None].expand(-1, 3, -1))[0][:, -1])


NOT_OF_RECURRENT = {"joint", "nsas", "wpl_official"}
"""A template of its own, and those that need a supernet."""


@pytest.mark.parametrize(
    "name", at_length(sorted({*STRATEGIES} - NOT_OF_RECURRENT), LONG - {"wpl_schur"})
)
def test_it_trains_a_recurrent_network(name):
    entry = STRATEGIES[name]
    plugin = entry(**{**entry.facts.brief, **FEWER.get(name, {})})
    before = snapshot(Recurrent())
    assert not same(before, snapshot(train(Recurrent(), [plugin], epochs=1)))
