"""The search for the training that gives the paper's figure 3.

``python -m configs.paper.figure3_search --data-root DIR`` draws settings at random, trains A and B
with each, and compares the curves with what is read off the paper's figure 3, all on the
validation split. It writes ``figure3_search.csv``, a row a curve. The settings are drawn from
``SPACE``; who stays in the race is decided in three stages:

1. every setting, plain, one seed, panels a to d in turn; one whose mean distance so far is above
   ``GIVE_UP`` leaves the race there;
2. the ``SECOND`` nearest, a second seed, and WPL at each of ``STRENGTHS`` with two;
3. the ``THIRD`` nearest by both, six more seeds, WPL at its best strength of stage 2.

A distance is the root mean square of ten differences in points: A's and B's accuracy at
``STEPS``. Settings are ranked by the root mean square of their distances over the panels, plain
and with WPL. The training loop is its own, so that it checks the harness's, whose initial weights,
batches and validation split it takes: ``tests/paper/test_search.py`` compares their curves.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from math import exp, fsum, inf, log, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.models.bank import ModelBank
from benchmark.scenarios.scenario import Scenario
from benchmark.scenarios.settings import Curve
from benchmark.scenarios.two_models import TwoModels
from benchmark.seeding import derive
from benchmark.training import Batches
from strategies.fisher import diagonal_fisher, draw

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

COUNT, GIVE_UP, SECOND, THIRD = 500, 20.0, 40, 10
STRENGTHS = (3.0, 10.0, 30.0)
SEEDS = range(1000, 1008)
"""Not those of the suite: one for stage 1, two for stage 2, all for stage 3."""


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


def draw_settings(count: int, seed: int = 0) -> list[Setting]:
    """Draw settings: the space of the search."""
    choose = random.Random(seed)

    def log_uniform(low: float, high: float) -> float:
        return float(f"{exp(choose.uniform(log(low), log(high))):.2g}")

    return [
        Setting(
            width=choose.choice([15, 20, 25, 30, 40, 50]),
            activation=choose.choice(["relu", "relu", "relu", "tanh"]),
            shared_layers=choose.choice([1, 2, 3, 4]),
            batch_size=choose.choice([64, 128, 256]),
            learning_rate=choose.choice([0.05, 0.07, 0.1, 0.14, 0.2]),
            momentum=choose.choice([0.0, 0.0, 0.0, 0.9]),
            shared_decay=log_uniform(0.01, 0.15),
            private_decay=choose.choice([0.0, 0.0, log_uniform(0.001, 0.05)]),
        )
        for _ in range(count)
    ]


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
    """One setting with one seed: A is trained once, B as often as asked."""

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
        paper = PAPER[panel]["wpl" if strength else "plain"]
        differences = [x - y for own, theirs in zip((a, b), paper, strict=True)
                       for x, y in zip(own, theirs, strict=True)]  # fmt: skip
        return Row(number, panel, strength, self._seed, _root_mean_square(differences), a, b)

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
        tensors = self._scenario.train[model].dataset.tensors
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
        """Return the fraction of images that is classified rightly."""
        return float((self.logits(x).argmax(dim=1) == y).float().mean())


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
    return TwoModels.model_validate(
        {
            "data": options.data,
            "samples": options.samples,
            "width": setting.width,
            "activation": setting.activation,
            "shared_layers": setting.shared_layers,
            "curve": {"split": "validation"},
        }
    )


@lru_cache(maxsize=1)
def _scenario(options: Options) -> Scenario:
    """The data; which network comes with them does not matter."""
    return TwoModels(
        data=options.data, samples=options.samples, curve=Curve(split="validation")
    ).build(0, options.root, "cpu")


Job = tuple[int, Setting, int, Sequence[tuple[str, float]], float]
"""A setting's number, the setting, a seed, the curves asked for, and the mean distance of plain
curves above which the rest is left out."""


def _work(options: Options, job: Job) -> list[Row]:
    torch.set_num_threads(1)
    number, setting, seed, curves, give_up = job
    experiment = Experiment(setting, seed, options)
    rows: list[Row] = []
    for panel, strength in curves:
        rows.append(experiment.measure(number, panel, strength))
        if fsum(row.distance for row in rows) > give_up * len(rows):
            break
    return rows


def search(options: Options, count: int, workers: int) -> list[Row]:
    """Run the three stages and return all curves."""
    settings = list(enumerate(draw_settings(count)))
    plain = [(panel, 0.0) for panel in PAPER]
    protected = [(panel, strength) for strength in STRENGTHS for panel in PAPER]
    rows: list[Row] = []
    with ProcessPoolExecutor(workers) as pool:

        def run(jobs: Iterable[Job], stage: int) -> None:
            todo = list(jobs)
            for done, found in enumerate(pool.map(partial(_work, options), todo), start=1):
                rows.extend(found)
                print(f"stage {stage}: {done} of {len(todo)} done", flush=True)

        run(((i, s, SEEDS[0], plain, GIVE_UP) for i, s in settings), 1)
        second = [settings[i] for i, _ in ranking(rows, with_wpl=False)[:SECOND]]
        run(
            (
                (i, s, seed, plain * (seed != SEEDS[0]) + protected, inf)
                for i, s in second
                for seed in SEEDS[:2]
            ),
            2,
        )
        third = [(settings[i], strength) for i, strength in ranking(rows, with_wpl=True)[:THIRD]]
        run(
            (
                (i, s, seed, plain + [(panel, strength) for panel in PAPER], inf)
                for (i, s), strength in third
                for seed in SEEDS[2:]
            ),
            3,
        )
    return rows


def ranking(rows: Sequence[Row], *, with_wpl: bool) -> list[tuple[int, float]]:
    """Return settings and their best strength, the nearest first.

    Args:
        rows: Of the search so far; settings without all panels are left out.
        with_wpl: Rank by plain curves and those with WPL, at the strength that is nearest; else
            by plain curves alone (the strength is 0 then).
    """
    found: dict[tuple[int, float], dict[str, list[float]]] = {}
    for row in rows:
        found.setdefault((row.setting, row.strength), {}).setdefault(row.panel, []).append(
            row.distance
        )
    means = {
        key: [fsum(own) / len(own) for own in panels.values()]
        for key, panels in found.items()
        if len(panels) == len(PAPER)
    }
    scores: dict[int, tuple[float, float]] = {}
    for (setting, strength), own in means.items():
        if bool(strength) == with_wpl and (setting, 0.0) in means:
            score = _root_mean_square(means[setting, 0.0] + own)
            scores[setting] = min(scores.get(setting, (inf, 0.0)), (score, strength))
    ranked = sorted((score, setting, strength) for setting, (score, strength) in scores.items())
    return [(setting, strength) for _, setting, strength in ranked]


def write(rows: Sequence[Row], settings: Sequence[Setting], path: Path) -> None:
    """Write a row a curve, with its setting."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in fields(Setting)]
        steps = [f"{model}_{step}" for model in "ab" for step in STEPS]
        writer.writerow(["setting", *names, "panel", "strength", "seed", "distance", *steps])
        for row in rows:
            writer.writerow(
                [row.setting, *asdict(settings[row.setting]).values(), row.panel, row.strength,
                 row.seed, f"{row.distance:.2f}", *(f"{v:.2f}" for v in (*row.a, *row.b))]
            )  # fmt: skip


def _root_mean_square(values: Iterable[float]) -> float:
    squares = [value**2 for value in values]
    return sqrt(fsum(squares) / len(squares))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the search from the command line."""
    parser = argparse.ArgumentParser(description="The search for the paper's figure 3.")
    parser.add_argument("--data-root", type=Path, required=True, help="the folder with MNIST")
    parser.add_argument("--output", type=Path, required=True, help="a CSV file to write")
    parser.add_argument("--count", type=int, default=COUNT, help="settings to draw")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args(arguments)
    rows = search(Options("mnist", given.data_root), given.count, given.workers)
    write(rows, draw_settings(given.count), given.output)
    for setting, strength in ranking(rows, with_wpl=True)[:THIRD]:
        print(setting, draw_settings(given.count)[setting], f"WPL {strength:g}")


if __name__ == "__main__":
    main()
