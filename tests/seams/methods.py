"""The smallest honest case of each seam: a mask, an adapter, an update rule, a merge.

A plugin file: suites name what has facts.
"""

import math
from contextlib import contextmanager

import torch
from avalanche.models import DynamicModule
from pydantic import Field
from torch import nn
from torch.nn.functional import linear

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.hooks import Hooked
from palimpsest.strategies.base.settings import StrategySettings


class PerModel(nn.Module):
    """A linear layer that is another one for each model.

    Attributes:
        layer: The layer it was.
        chosen: The model that it is at the moment; ``None``: the layer as it was.
    """

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.chosen = None


class Wraps(Hooked):
    """Gives each linear layer something for each model."""

    kind: type[PerModel]

    def adapt(self, model, index):
        for parent in list(model.modules()):
            if isinstance(parent, PerModel):
                continue
            if isinstance(parent, DynamicModule) and not isinstance(parent, ModelBank):
                continue  # a head that Avalanche grows: it is left as it is
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, self.kind(child).train(child.training))
        for layer in self.layers(model):
            self.prepare(layer, index)
            layer.chosen = str(index)

    def layers(self, model):
        return [module for module in model.modules() if isinstance(module, PerModel)]

    def prepare(self, layer, index):
        raise NotImplementedError

    @contextmanager
    def evaluating(self, model, index):
        before = [layer.chosen for layer in self.layers(model)]
        for layer in self.layers(model):
            layer.chosen = str(index) if layer.knows(index) else None
        try:
            yield
        finally:
            for layer, chosen in zip(self.layers(model), before, strict=True):
                layer.chosen = chosen


class MaskedLinear(PerModel):
    """Fixed weights, of which each model uses those that have a score above 0."""

    def __init__(self, layer):
        super().__init__(layer.requires_grad_(False))
        self.scores = nn.ParameterDict()

    def knows(self, index):
        return str(index) in self.scores

    def forward(self, x):
        weight = self.layer.weight
        if self.chosen is not None:
            scores = self.scores[self.chosen]
            weight = weight * ((scores > 0).float() + scores - scores.detach())  # straight through
        return linear(x, weight, self.layer.bias)


class MaskSettings(StrategySettings):
    seed: int = Field(0, description="Of the initial scores.")


class Mask(Wraps):
    """A mask for each model over weights that never move."""

    facts = Facts("mask", "masks", "a test", memory="linear", ends_only=True)
    Settings = MaskSettings

    kind = MaskedLinear

    def __init__(self, seed=0):
        super().__init__()
        self.seed = seed

    def prepare(self, layer, index):
        if not layer.knows(index):
            weight = layer.layer.weight
            generator = torch.Generator().manual_seed(self.seed + index)
            scores = torch.randn(weight.shape, generator=generator) / math.sqrt(weight.shape[1])
            layer.scores[str(index)] = nn.Parameter(scores.to(weight))


class AdaptedLinear(PerModel):
    """``W x + B_i A_i x`` for model i, with factors of a low rank."""

    def __init__(self, layer):
        super().__init__(layer)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()

    def knows(self, index):
        return str(index) in self.down

    def forward(self, x):
        out = self.layer(x)
        if self.chosen in self.down:
            out = out + linear(linear(x, self.down[self.chosen]), self.up[self.chosen])
        return out


class AdapterSettings(StrategySettings):
    rank: int = Field(2, ge=1, le=8, strict=True, description="Of the update of each layer.")
    seed: int = Field(0, description="Of the factors.")


class Adapter(Wraps):
    """The first model trains all weights, each later one a low-rank update of what is frozen."""

    facts = Facts(
        name="adapter",
        summary="low-rank updates",
        source="a test",
        dial=Dial("rank", "ranks", whole=True),
        memory="linear",
        ends_only=True,
    )
    Settings = AdapterSettings

    kind = AdaptedLinear

    def __init__(self, rank=2, seed=0):
        super().__init__()
        assert isinstance(rank, int)
        self.rank, self.seed = rank, seed

    def prepare(self, layer, index):
        if index == 0 or layer.knows(index):
            return
        weight = layer.layer.weight
        layer.layer.requires_grad_(False)
        generator = torch.Generator().manual_seed(self.seed + index)
        down = torch.randn(self.rank, weight.shape[1], generator=generator)
        layer.down[str(index)] = nn.Parameter((down / math.sqrt(weight.shape[1])).to(weight))
        layer.up[str(index)] = nn.Parameter(weight.new_zeros(len(weight), self.rank))


class SignDescent(torch.optim.Optimizer):
    """``theta <- theta - lr sign(gradient)``."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter -= group["lr"] * parameter.grad.sign()


class SignSettings(StrategySettings):
    rate: float = Field(0.002, gt=0, description="Of every step.")


class Sign(Hooked):
    """Descends by the sign of the gradient."""

    facts = Facts("sign", "signs", "a test", ends_only=True)
    Settings = SignSettings

    def __init__(self, rate=0.002):
        super().__init__()
        self.rate = rate

    def optimizer(self, parameters):
        return SignDescent(parameters, self.rate)


class MergeSettings(StrategySettings):
    scale: float = Field(0.5, ge=0, le=2, description="What is added of each model's change.")


class Merge(Hooked):
    """Each model trains from the initial weights; evaluated is ``theta_0 + scale sum_i tau_i``."""

    facts = Facts(
        name="merge",
        summary="merged weights",
        source="a test",
        dial=Dial("scale", "scales", after_training=True),
        memory="linear",
        moves_unused=True,
        ends_only=True,
    )
    Settings = MergeSettings

    def __init__(self, scale=0.5):
        super().__init__()
        self.scale = scale
        self.initial, self.changes = {}, {}
        self.in_training = None

    def turn(self, value):
        self.scale = value

    def before_training_exp(self, strategy, *arguments, **keywords):
        super().before_training_exp(strategy, *arguments, **keywords)
        self.in_training = strategy.experience.current_experience
        if self.initial:
            fill(strategy.model, self.initial)
        self.initial = copied(strategy.model)

    def after_training_exp(self, strategy, *_, **__):
        trained = copied(strategy.model)
        change = {name: trained[name] - value for name, value in self.initial.items()}
        self.changes[self.in_training], self.in_training = change, None

    @contextmanager
    def evaluating(self, model, index):
        if index == self.in_training or not self.initial:
            yield
            return
        before = copied(model)
        merged = {name: value.clone() for name, value in self.initial.items()}
        for change in self.changes.values():
            for name, value in change.items():
                own = merged[name][tuple(slice(0, size) for size in value.shape)]
                own += self.scale * value
        fill(model, merged)
        try:
            yield
        finally:
            fill(model, before)


def copied(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@torch.no_grad()
def fill(model, values):
    for name, parameter in model.named_parameters():
        if name in values:
            known = tuple(slice(0, size) for size in values[name].shape)
            parameter[known] = values[name]
