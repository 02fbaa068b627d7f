"""The kit looks at what is evaluated, and knows other dials than strengths."""

import os
from contextlib import contextmanager

import pytest
import torch
from avalanche.models import DynamicModule
from torch import nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.check import PROPERTIES, check, verdict
from palimpsest.strategies import L2
from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.hooks import Hooked


class Interpolates(Hooked):
    """Trains like fine-tuning; evaluated is ``theta_1 + scale (theta - theta_1)``.

    ``theta_1`` are the weights that the first model ended with. Source: Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022.
    """

    def __init__(self):
        super().__init__()
        self.scale, self.first, self.training = 0.5, {}, None

    def turn(self, value):
        self.scale = value

    def before_training_exp(self, strategy, *arguments, **keywords):
        super().before_training_exp(strategy, *arguments, **keywords)
        self.training = strategy.experience.current_experience

    def after_training_exp(self, strategy, *_, **__):
        self.training = None
        self.first = self.first or copied(strategy.model)

    def way(self, name):
        """How far to go from the first weights to the last ones."""
        return self.scale

    @contextmanager
    def evaluating(self, model, index):
        last = copied(model)
        if index != self.training:
            for name, parameter in model.named_parameters():
                if name in self.first and self.first[name].shape == parameter.shape:
                    with torch.no_grad():
                        parameter.copy_(torch.lerp(self.first[name], parameter, self.way(name)))
        try:
            yield
        finally:
            model.load_state_dict({**model.state_dict(), **last})


def copied(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class EvaluatesFineTuning(Interpolates):
    @contextmanager
    def evaluating(self, model, index):
        yield


class Extrapolates(Interpolates):
    """Goes on from fine-tuning's weights, away from the first ones."""

    def way(self, name):
        return 1 + self.scale


class TrainsAtTheScale(Interpolates):
    def after_backward(self, strategy, *_, **__):
        for parameter in strategy.model.parameters():
            if parameter.grad is not None:
                parameter.grad *= self.scale


class HasNoTurn(Interpolates):
    turn = None  # no method


class TurnsNothing(Interpolates):
    def turn(self, value):
        self.value = value


class KeepsTheFirstScale(Interpolates):
    def way(self, name):
        self.kept = getattr(self, "kept", self.scale)
        return self.kept


class ForgetsTheFirst(Interpolates):
    def __getstate__(self):
        return {**vars(self), "first": {}}


class KnowsHalf(Interpolates):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class CountsEvaluations(Interpolates):
    def before_eval_exp(self, strategy, *arguments, **keywords):
        self.scale *= 0.99
        super().before_eval_exp(strategy, *arguments, **keywords)


class EvaluatesAtRandom(Interpolates):
    def way(self, name):
        return self.scale * (1 - int.from_bytes(os.urandom(1)) / 1000)


class RoundsInEvaluation(Interpolates):
    def way(self, name):
        single = self.first[name].dtype == torch.float32
        return self.scale * (1 if single else 0.9)


class DividesByZero(Interpolates):
    def way(self, name):
        return float("nan")


class PenaltyThatInterpolates(L2, Interpolates):
    """A penalty, evaluated at other weights than it ends with, whatever its strength."""

    def __init__(self, strength=1.0):
        Interpolates.__init__(self)
        L2.__init__(self, strength=strength)

    def after_training_exp(self, strategy, *_, **__):
        Interpolates.after_training_exp(self, strategy)
        L2.after_training_exp(self, strategy)


class ActsInEvaluationAlone(Interpolates):
    """Each parameter stays by its importance, which here shrinks with the training batch."""

    def __init__(self, strength=1.0):
        super().__init__()
        self.scale = strength

    def after_training_exp(self, strategy, *_, **__):
        super().after_training_exp(strategy)
        if strategy.experience.current_experience == 0:
            self.importance = 1 / strategy.train_mb_size

    def way(self, name):
        return 1 / (1 + self.scale * self.importance)


class WithOptimizer(Hooked, L2):
    """A penalty behind an update rule of its own."""

    def __init__(self, strength=1.0):
        Hooked.__init__(self, strength=strength)

    def optimizer(self, parameters):
        return torch.optim.SGD(parameters, lr=0.2, momentum=0.5)


class Shifted(nn.Module):
    """A layer whose outputs are shifted by a parameter that starts at 0."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.shift = nn.Parameter(layer.weight.new_zeros(()), requires_grad=False)

    def forward(self, x):
        return self.layer(x) + self.shift


class WithParameters(Hooked, L2):
    """A penalty that wraps the layers it finds: their weights get other names."""

    def __init__(self, strength=1.0):
        Hooked.__init__(self, strength=strength)

    def adapt(self, model, index):
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear and not isinstance(parent, (Shifted, DynamicModule)):
                    setattr(parent, name, Shifted(child))


OWN_DIAL = {
    "facts": Facts("", "", "", Dial("scale", "scales", after_training=True)),
    "values": (0.5, 0.25),
}
STRENGTH = {"facts": Facts("", "", ""), "strength": "strength"}

FAULTS = {
    EvaluatesFineTuning: {
        "protects the earlier model",
        "turning trains nothing",
    },
    Extrapolates: {"protects the earlier model", "protects behind every optimizer"},
    TrainsAtTheScale: {"turning trains nothing"},
    HasNoTurn: {"turning trains nothing"},
    TurnsNothing: {"turning trains nothing"},
    KeepsTheFirstScale: {"turning trains nothing"},
    ForgetsTheFirst: {"a checkpoint keeps everything"},
    KnowsHalf: {"the state dict holds everything"},
    CountsEvaluations: {"evaluation changes nothing"},
    EvaluatesAtRandom: {"deterministic"},
    RoundsInEvaluation: {"precision changes rounding alone"},
    DividesByZero: {"works in plain Avalanche"},
    PenaltyThatInterpolates: {"strength 0 is fine-tuning"},
    ActsInEvaluationAlone: {"importance ignores the batch size"},
}


def planted(plugin):
    own = STRENGTH if "strength" in plugin.__init__.__code__.co_varnames else OWN_DIAL
    return Candidate(plugin.__name__, plugin=plugin, template=None, **own)


def verdict_on(plugin, name):
    (wanted,) = (each for each in PROPERTIES if each.name == name)
    return verdict(wanted, planted(plugin))


@pytest.mark.thorough
def test_a_merge_that_trains_like_fine_tuning_is_sound():
    found = {v.property: v for v in check(planted(Interpolates))}
    failed = {name: v.detail for name, v in found.items() if v.outcome == "fail"}
    assert failed == {}
    held = {name for name, v in found.items() if v.outcome == "pass"}
    assert held >= {
        "protects the earlier model",
        "protects behind every optimizer",
        "evaluating puts everything back",
        "turning trains nothing",
    }
    assert " at scale 0.25, by " in found["protects the earlier model"].detail


@pytest.mark.parametrize("plugin", FAULTS, ids=lambda plugin: plugin.__name__)
def test_a_fault_of_evaluation_is_found(plugin):
    found = {name: verdict_on(plugin, name) for name in FAULTS[plugin]}
    assert {v.outcome for v in found.values()} == {"fail"}, {n: v.detail for n, v in found.items()}


def test_what_protects_nothing_is_told_with_its_dial():
    same = verdict_on(EvaluatesFineTuning, "protects the earlier model")
    assert same.detail == "scale 0.25 gives the weights of fine-tuning, bit for bit"
    other = verdict_on(Extrapolates, "protects the earlier model")
    assert "at scale 0." in other.detail


@pytest.mark.parametrize(
    ("plugin", "not_asked"),
    [
        (WithOptimizer, {"strength 0 is fine-tuning"}),
        (WithParameters, {"a huge strength holds"}),
    ],
)
def test_what_a_hook_makes_meaningless_is_not_asked(plugin, not_asked):
    asked = {
        "strength 0 is fine-tuning",
        "a huge strength holds",
        "importance ignores the batch size",
        "no gradient is handled",
    }
    found = {name: verdict_on(plugin, name) for name in asked}
    assert not {n: v.detail for n, v in found.items() if v.outcome == "fail"}
    left_out = {n for n, v in found.items() if v.outcome == "not applicable"}
    assert left_out == not_asked
