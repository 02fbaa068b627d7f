"""The tiny trainings of a candidate that the properties compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import SAMPLES, data
from palimpsest.benchmark.kit.property import BrokenError
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.runs.avalanche_strategies import make
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.training.evaluation import LOADER
from palimpsest.benchmark.training.template import InMemoryTraining
from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.hooks import Evaluates, Optimizes

BATCH = 10

OUTPUTS = "outputs of model"
"""What the names of outputs begin with; no weight is called that."""

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.3),
    "SGD with momentum and weight decay": lambda p: torch.optim.SGD(
        p, lr=0.03, momentum=0.9, weight_decay=0.01
    ),
    "Adam with weight decay": lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "centred RMSprop with momentum": lambda p: torch.optim.RMSprop(
        p, lr=0.002, momentum=0.5, centered=True, eps=1e-3
    ),
}
WITH_MOMENTS = [name for name in OPTIMIZERS if name not in {"SGD", "RMSprop"}]
"""Those that move a parameter whose gradient is zero."""

State = dict[str, Tensor]

_FINE_TUNING = {
    (template, searches): Candidate(
        "fine-tuning", Facts("", "", "", role="baseline", searches=searches), None, template
    )
    for template in (None, Naive)
    for searches in (False, True)
}


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation by the strategy.

    Attributes:
        losses: The mean cross-entropy of each model.
        outputs: The logits (N, C) of each model, on the CPU: ``outputs of model 1``.
    """

    losses: list[float]
    outputs: dict[str, Tensor]


class Meter:
    """The part of an Avalanche plugin that measures each evaluation; see ``Evaluated``."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.outputs: dict[str, Tensor] = {}
        self._losses: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Start with a model."""
        self._losses, self._outputs = [], []

    def after_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note a batch."""
        self._losses.append(cross_entropy(strategy.mb_output, strategy.mb_y, reduction="none"))
        self._outputs.append(strategy.mb_output.detach().cpu())

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """End with a model."""
        self.losses.append(torch.cat(self._losses).mean().item())
        self.outputs[f"{OUTPUTS} {len(self.losses)}"] = torch.cat(self._outputs)


@dataclass
class Program:
    """A candidate's Avalanche strategy and plugin, and experiences to train and to evaluate."""

    strategy: Any
    plugin: Any
    train: list[Any]
    test: list[Any]

    @property
    def model(self) -> nn.Module:
        """The model as it is now."""
        model: nn.Module = self.strategy.model
        return model

    def run(
        self,
        models: Sequence[int] | None = None,
        *,
        reset: bool = True,
        reseed: bool = True,
        after_each: Callable[[int], None] = lambda model: None,
    ) -> State:
        """Train models in turn.

        Args:
            models: Which ones; all by default.
            reset: Whether each starts with a fresh optimizer.
            reseed: Whether the global generator is seeded again for each model. Otherwise it
                continues, as in an ordinary program.
            after_each: Called with the model just trained.

        Returns:
            A copy of the weights and buffers.

        Raises:
            BrokenError: They are not finite.
        """
        if not reseed:
            torch.manual_seed(100)
        for i in range(len(self.train)) if models is None else models:
            if reseed:
                torch.manual_seed(100 + i)
            if i > 0:
                self.strategy.train_mb_size = BATCH
            problem: Exception | None = None
            try:
                self.strategy.train(
                    self.train[i], eval_streams=[], reset_optimizer_state=reset, **LOADER
                )
            except Exception as error:  # such as about an importance that is NaN
                problem = error
            if not finite(state(self.model)):
                raise BrokenError(
                    f"weights are NaN or infinite when model {i + 1} has been trained"
                ) from problem
            if problem is not None:
                raise problem
            after_each(i)
        return state(self.model)

    def evaluated(self) -> Evaluated:
        """Evaluate every model by the strategy."""
        meter = Meter()
        self.strategy.plugins.append(meter)
        try:
            self.strategy.eval(self.test, **LOADER)
        finally:
            self.strategy.plugins.remove(meter)
        return Evaluated(meter.losses, meter.outputs)

    def result(self) -> State:
        """Return the result of the trainings so far: weights, buffers and what is evaluated.

        Usually that is one thing. If the strategy evaluates other weights than it trains (merged,
        masked), the outputs of every model count, too.
        """
        own = state(self.model)
        return {**own, **self.evaluated().outputs} if isinstance(self.plugin, Evaluates) else own


def fine_tuning(candidate: Candidate) -> Candidate:
    """Return fine-tuning of the same models in the same template; always the same object."""
    return _FINE_TUNING[None if candidate.template is None else Naive, candidate.facts.searches]


@cache
def programs(candidate: Candidate) -> dict[str, Candidate]:
    """Return a candidate once for each program that can train it; always the same objects.

    A plugin is trained by the harness's template and by Avalanche's ``Naive``, which has other
    data loaders. A template trains itself. The keys follow an optimizer's name in messages.
    """
    if candidate.template is not None:
        return {"": candidate}
    return {"": candidate, " in plain Avalanche": replace(candidate, template=Naive)}


def result_of(trained: Program) -> State:
    """Train all models; return the result."""
    trained.run()
    return trained.result()


def optimizers_of(candidate: Candidate, names: Iterable[str]) -> list[str]:
    """Return the optimizers to test; just one if the strategy brings its own."""
    return [*names][:1] if candidate.has(Optimizes) else [*names]


def behind(candidate: Candidate, names: Collection[str]) -> str:
    """Describe the tested optimizers for a verdict."""
    return "its own optimizer" if candidate.has(Optimizes) else f"{len(names)} optimizers"


def program(
    candidate: Candidate,
    model: nn.Module,
    *,
    value: float | None = None,
    optimizer: str = "SGD",
    first_batch: int = BATCH,
    epochs: int = 4,
    models: int = 3,
    watchers: Sequence[Any] = (),
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Program:
    """Set up a training of a candidate.

    Args:
        candidate: It trains in its own template, or as a plugin in the harness's.
        model: What to train, from these weights.
        value: Of the candidate's strength, or of its dial where that acts after training; what it
            is set to where not given.
        optimizer: A name of ``OPTIMIZERS``.
        first_batch: Samples of a training batch of the first model; the others take ``BATCH``.
        epochs: Passes over each model's data.
        models: How many experiences there are.
        watchers: Plugins that come after the candidate's.
        device: Where to train.
        dtype: Of weights and inputs.
    """
    tasks = data(1) * models if candidate.facts.searches else data(models)
    parts = [(x.to(device, dtype), y.to(device)) for x, y in tasks]
    train, test = streams(parts, range(models) if isinstance(model, ModelBank) else [0] * models)
    plugin = candidate.make_plugin(value)
    plugins = [*([] if plugin is None else [plugin]), *watchers]
    model = model.to(device, dtype)
    made = OPTIMIZERS[optimizer](model.parameters())
    batches = [first_batch, *[BATCH] * (models - 1)]
    strategy: Any
    if candidate.template is None:
        strategy = InMemoryTraining(
            model=model,
            optimizer=made,
            batch_size=first_batch,
            steps=[epochs * math.ceil(SAMPLES / size) for size in batches],
            order_seeds=range(models),
            device=device,
            plugins=plugins,
        )
    else:
        strategy = make(
            candidate.template,
            candidate.arguments_at(value) if plugin is None else {},
            model=model,
            optimizer=made,
            batch_size=first_batch,
            most_epochs=epochs,
            device=device,
            plugins=plugins,
        )
    return Program(strategy, plugin, train, test)


def streams(
    parts: Sequence[tuple[Tensor, Tensor]], labels: Sequence[int]
) -> tuple[list[Any], list[Any]]:
    """Return experiences of inputs and targets with their task labels, to train and to evaluate."""
    datasets = [InMemoryDataset.of(x, y, t) for (x, y), t in zip(parts, labels, strict=True)]
    made = benchmark_from_datasets(train=datasets, test=datasets)
    found = with_task_labels(with_classes_timeline(made)).streams
    return list(found["train"]), list(found["test"])


def state(model: nn.Module) -> State:
    """Return a copy of a model's weights and buffers, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def same(a: State, b: State) -> bool:
    """Whether two states are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def distance(a: State, b: State) -> float:
    """Return the largest difference of any number that two states both have."""
    shared = [name for name in a if name in b and a[name].shape == b[name].shape]
    gaps = [(a[name].double() - b[name].double()).abs().max() for name in shared]
    return torch.stack(gaps).max().item() if gaps else 0.0


def apart(a: State, b: State) -> str:
    """Say by how much two results of the same strategy differ, weights before outputs."""
    weights = [{n: v for n, v in one.items() if not n.startswith(OUTPUTS)} for one in (a, b)]
    gap = distance(*weights)
    if same(*weights):
        return f"what is evaluated differs, outputs by up to {distance(a, b):.2g}"
    return f"weights differ by up to {gap:.2g}"


def finite(values: State) -> bool:
    """Whether all numbers are finite."""
    return all(bool(value.isfinite().all()) for value in values.values())
