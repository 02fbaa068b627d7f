"""A and B of the paper's figure 3 in an independent training loop, compared with the figure.

Initial weights, batches, splits, the choice of shared weights and their Fisher information come
from the harness; training, weight decay, penalty and accuracies are implemented here, so that each
checks the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.settings.scenario import Curve
from palimpsest.benchmark.training.template import Batches
from palimpsest.strategies.curvature.fisher import diagonal_fisher, draw

STEPS = (100, 250, 500, 1000, 1500)
PAPER: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]] = {
    "a": {
        "plain": ((91, 82, 65, 63, 59), (50, 80, 88, 91, 91)),
        "wpl": ((92, 90, 90, 91, 91), (38, 78, 86, 89, 91)),
    },
    "b": {
        "plain": ((50, 50, 37, 23, 22), (40, 50, 70, 86, 90)),
        "wpl": ((56, 57, 56, 55, 51), (30, 38, 55, 80, 88)),
    },
    "c": {
        "plain": ((42, 33, 20, 21, 20), (15, 25, 55, 75, 84)),
        "wpl": ((43, 40, 30, 34, 30), (10, 22, 25, 68, 80)),
    },
    "d": {
        "plain": ((36, 38, 24, 30, 28), (19, 20, 48, 84, 88)),
        "wpl": ((34, 31, 27, 38, 33), (11, 11, 23, 73, 80)),
    },
}
"""Read off the paper's figure 3: A's and B's accuracy in per cent at ``STEPS``."""
TARGETS = {"a": None, "b": 0.55, "c": 0.43, "d": 0.37}
"""The validation accuracy at which A's training stops."""


@dataclass(frozen=True)
class Setting:
    """How A and B are trained.

    Attributes:
        width: Units of each hidden layer.
        activation: After each.
        shared_layers: How many B shares with A.
        batch_size: Of both.
        learning_rate: SGD's, of both; with momentum it is divided by 10.
        momentum: SGD's, of both.
        shared_decay: Weight decay on the shared weights while B trains.
        private_decay: The same on B's private weights.
    """

    width: int
    activation: str
    shared_layers: int
    batch_size: int
    learning_rate: float
    momentum: float
    shared_decay: float
    private_decay: float

    @property
    def rate(self) -> float:
        """The learning rate that SGD is given."""
        return round(self.learning_rate * (1 - self.momentum), 10)


@dataclass(frozen=True)
class Options:
    """What the search works on.

    Attributes:
        data: The data set.
        root: The folder of the data sets.
        steps: At which curves are compared; the last one ends the training.
        samples: Of the training data; ``None``: all.
    """

    data: str
    root: Path
    steps: Sequence[int] = STEPS
    samples: int | None = None


def harness_settings(options: Options, setting: Setting, target: float | None) -> dict[str, Any]:
    """Return a setting as a scenario of a suite."""
    optimizer = {"name": "sgd", "learning_rate": setting.rate, "momentum": setting.momentum}
    decay = {"shared": setting.shared_decay, "private": setting.private_decay}
    return {
        "family": "two_models",
        "data": options.data,
        "samples": options.samples,
        "hidden_layers": [4, 6],
        "shared_layers": setting.shared_layers,
        "width": setting.width,
        "activation": setting.activation,
        "optimizer": optimizer,
        "second_optimizer": optimizer | {"weight_decay": decay},
        "batch_size": setting.batch_size,
        "steps": options.steps[-1],
        "target_accuracy": target,
        "curve": {"every": options.steps[0], "split": "validation"},
    }


def _two_models(options: Options, setting: Setting) -> TwoModels:
    return TwoModels.model_validate(harness_settings(options, setting, None))


@lru_cache(maxsize=1)
def _scenario(options: Options) -> Scenario:
    """The data; the network that comes with them does not matter."""
    return TwoModels(
        data=options.data, samples=options.samples, curve=Curve(split="validation")
    ).build(0, options.root, "cpu")


@dataclass(frozen=True)
class Row:
    """One curve of the search.

    Attributes:
        setting: Its number, in the order of drawing.
        panel: Of the paper's figure 3.
        strength: WPL's; 0 for plain training.
        seed: Of initial weights and batches.
        distance: From the paper's curve, in points.
        a: A's accuracy at each of ``STEPS``, in per cent.
        b: B's.
    """

    setting: int
    panel: str
    strength: float
    seed: int
    distance: float
    a: tuple[float, ...]
    b: tuple[float, ...]


class Experiment:
    """One setting with one seed: A is trained once, B as often as requested."""

    def __init__(self, setting: Setting, seed: int, options: Options) -> None:
        self._setting, self._seed, self._options = setting, seed, options
        self._scenario = _scenario(options)
        bank = _two_models(options, setting).build(seed, options.root, "cpu").model
        self._initial = {name: p.detach().clone() for name, p in bank.named_parameters()}
        self._bank = bank
        self._stopped = self._train_a()

    def measure(self, number: int, panel: str, strength: float) -> Row:
        """Train B and compare it with the paper's curve."""
        a, b = self._train_b(panel, strength)
        paper = paper_curve(panel, strength)
        differences = [x - y for x, y in zip((*a, *b), paper, strict=True)]
        return Row(number, panel, strength, self._seed, root_mean_square(differences), a, b)

    def _train_a(self) -> dict[str, dict[str, Tensor]]:
        """Return A's parameters where it stopped, for each panel."""
        network = _Network(self._bank, 0, self._initial, self._setting.activation)
        held_out = self._scenario.validation[0].dataset.tensors[:2]
        open_ = {panel: target for panel, target in TARGETS.items() if target is not None}
        stopped = {}
        for step, batch in enumerate(self._batches(0), start=1):
            network.step(*batch, self._setting, {})
            if open_:
                reached = network.accuracy(*held_out)
                for panel in [p for p, target in open_.items() if reached >= target]:
                    stopped[panel] = network.state()
                    del open_[panel]
            if step == self._options.steps[-1]:
                break
        return {panel: stopped.get(panel, network.state()) for panel in TARGETS}

    def _train_b(self, panel: str, strength: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        state = self._initial | self._stopped[panel]
        setting = self._setting
        shared = self._bank.shared_parameters_of(1)
        network = _Network(self._bank, 1, state, setting.activation)
        first = _Network(self._bank, 0, state, setting.activation)
        if strength:
            rate = setting.rate / (1 - setting.momentum)
            network.protect({n: rate * strength * f for n, f in self._fisher(state).items()})
        decays = {
            name: setting.shared_decay if name in shared else setting.private_decay
            for name in network.parameters
        }
        found: tuple[list[float], list[float]] = ([], [])
        tests = [experience.dataset.tensors[:2] for experience in self._scenario.curve_data]
        for step, batch in enumerate(self._batches(1), start=1):
            network.step(*batch, setting, decays)
            if step in self._options.steps:
                first.parameters |= {name: network.parameters[name] for name in shared}
                for values, model, test in zip(found, (first, network), tests, strict=True):
                    values.append(100 * model.accuracy(*test))
        return tuple(found[0]), tuple(found[1])

    def _batches(self, model: int) -> Iterator[tuple[Tensor, Tensor]]:
        tensors = self._scenario.train[model].dataset.samples
        seed = derive(self._seed, "order", model)
        steps = self._options.steps[-1]
        for x, y, _ in Batches(tensors, self._setting.batch_size, steps, seed):
            yield x, y

    def _fisher(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The exact diagonal Fisher information of A, as the strategy estimates it."""
        with torch.no_grad():
            for name, parameter in self._bank.named_parameters():
                parameter.copy_(state[name])
        generator = torch.Generator().manual_seed(derive(self._seed, "importance"))
        x, y, _ = draw(self._scenario.train[0].dataset, 1000, generator)
        return diagonal_fisher(self._bank, self._bank.shared_parameters_of(1), x, y)


class _Network:
    """One model of the bank as plain tensors, with SGD and a proximal step."""

    def __init__(
        self, bank: ModelBank, model: int, state: dict[str, Tensor], activation: str
    ) -> None:
        self.parameters = {n: state[n].clone().requires_grad_() for n in bank.parameters_of(model)}
        self._activation = {"relu": torch.relu, "tanh": torch.tanh}[activation]
        self._velocity: list[Tensor] | None = None
        self._pull: tuple[list[Tensor], list[Tensor], list[Tensor]] | None = None

    def protect(self, pulls: dict[str, Tensor]) -> None:
        """From now on each step ends with ``theta <- (theta + c anchor) / (1 + c)``."""
        anchors = [self.parameters[name].detach().clone() for name in pulls]
        shares = [1 / (1 + c) for c in pulls.values()]
        offsets = [(1 - share) * a for share, a in zip(shares, anchors, strict=True)]
        self._pull = ([self.parameters[name] for name in pulls], shares, offsets)

    def state(self) -> dict[str, Tensor]:
        """A copy of the parameters."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def logits(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images."""
        x = x.flatten(1)
        values = list(self.parameters.values())
        layers = list(zip(values[::2], values[1::2], strict=True))
        for weight, bias in layers[:-1]:
            x = self._activation(torch.addmm(bias, x, weight.t()))
        weight, bias = layers[-1]
        return torch.addmm(bias, x, weight.t())

    def step(self, x: Tensor, y: Tensor, setting: Setting, decays: dict[str, float]) -> None:
        """One step of SGD on a batch."""
        values = list(self.parameters.values())
        loss = torch.nn.functional.cross_entropy(self.logits(x), y)
        with torch.no_grad():
            gradients = list(torch.autograd.grad(loss, values))
            if decays:
                scaled = torch._foreach_mul(values, list(decays.values()))
                torch._foreach_add_(gradients, scaled)
            if setting.momentum and self._velocity is None:
                self._velocity = gradients
            elif self._velocity is not None:
                torch._foreach_mul_(self._velocity, setting.momentum)
                torch._foreach_add_(self._velocity, gradients)
            torch._foreach_add_(values, self._velocity or gradients, alpha=-setting.rate)
            if self._pull:
                parameters, shares, offsets = self._pull
                torch._foreach_mul_(parameters, shares)
                torch._foreach_add_(parameters, offsets)

    @torch.no_grad()
    def accuracy(self, x: Tensor, y: Tensor) -> float:
        """Return the fraction of images that are classified correctly."""
        return float((self.logits(x).argmax(dim=1) == y).float().mean())


def paper_curve(panel: str, strength: float) -> list[float]:
    """Return what is read off the figure, A's values and then B's: with WPL or, at 0, plain."""
    a, b = PAPER[panel]["wpl" if strength else "plain"]
    return [*a, *b]


def root_mean_square(values: Iterable[float]) -> float:
    """Return ``sqrt(mean(v^2))``."""
    squares = [value**2 for value in values]
    return sqrt(fsum(squares) / len(squares))
