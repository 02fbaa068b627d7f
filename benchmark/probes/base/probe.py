"""The base class of probes: a plugin that only looks, and its view of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from torch import nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.training.evaluation import LOADER, evaluate
from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.penalty.regularizer import Regularizer


@dataclass(frozen=True)
class Subject:
    """The run that probes look into. *Model i* learns experience i.

    Attributes:
        scenario: Its experiences and the bank.
        facts: Of the strategy.
        plugin: The strategy under test; ``None`` if it is an Avalanche class.
        unordered: Why there are no earlier and later models, if they are not trained in turn.
        seed: The run's seed.
    """

    scenario: Scenario
    facts: Facts
    plugin: Any
    unordered: str | None
    seed: int

    @property
    def regularizer(self) -> Regularizer | None:
        """The strategy, if it has importances and anchors."""
        return self.plugin if isinstance(self.plugin, Regularizer) else None

    @cached_property
    def paths(self) -> list[tuple[str, ...]]:
        """The blocks of each model, in the order in which they are applied."""
        bank = self.scenario.model
        return [bank.paths[experience.task_label] for experience in self.scenario.train]

    def inherited(self, model: int) -> list[str]:
        """Return the blocks of a model that an earlier model also uses."""
        earlier = {block for path in self.paths[:model] for block in path}
        return [block for block in self.paths[model] if block in earlier]

    def shared(self, model: int) -> list[str]:
        """Return the blocks of a model that any other model also uses."""
        others = {block for i, path in enumerate(self.paths) if i != model for block in path}
        return [block for block in self.paths[model] if block in others]

    def look(self, strategy: Any, models: Iterable[int], see: Callable[[int, Any], None]) -> None:
        """Show models as they are evaluated: in evaluation mode, without gradients.

        Some strategies keep separate weights for a model and load them while it is evaluated.
        So each model is shown in the middle of an evaluation of one sample: ``see`` is called
        with its number and the bank.
        """
        visitor = _Visitor(see)
        strategy.plugins.append(visitor)
        try:
            evaluate(strategy, [self._glances[model] for model in models], **LOADER)
        finally:
            strategy.plugins.remove(visitor)

    @cached_property
    def _glances(self) -> list[Any]:
        """An experience with one test sample for each model."""
        tensors = [experience.dataset.samples for experience in self.scenario.test]
        datasets = [InMemoryDataset.of(x[:1], y[:1], task) for x, y, task in tensors]
        streams = with_task_labels(with_classes_timeline(benchmark_from_datasets(glance=datasets)))
        return list(streams.streams["glance"])


class _Visitor:
    """A plugin that shows a model while it is evaluated."""

    def __init__(self, see: Callable[[int, Any], None]) -> None:
        self._see = see

    def before_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Show the model."""
        self._see(strategy.experience.current_experience, strategy.model)


class Probe:
    """Measures something about the bank during a run, and changes nothing.

    It comes last among the Avalanche strategy's plugins and may implement ``before_training_exp``
    and ``after_training_exp``, which are called when all other plugins have prepared or finished a
    model's training. It draws no random numbers while models train.

    Attributes:
        of_blocks: Whether it needs models made of blocks, not whole networks.
        rows: The measurements, in flat rows of names and values.
    """

    of_blocks: ClassVar[bool] = True

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.rows: list[dict[str, Any]] = []

    def absent(self) -> str | None:
        """Return why there is nothing to measure in this run; ``None`` if there is something."""
        return None

    def finish(self, strategy: Any) -> None:
        """Measure after the last model; nothing by default."""

    def result(self, strategy: Any) -> dict[str, Any]:
        """Return ``{"rows": [...]}`` or ``{"absent": reason}``, as the store keeps it."""
        reason = self.absent()
        if reason is not None:
            return {"absent": reason}
        self.finish(strategy)
        return {"rows": storable(self.rows)}


def parameters_of(bank: ModelBank, block: str) -> dict[str, nn.Parameter]:
    """Return the parameters of a block by their names in the bank."""
    return {f"blocks.{block}.{name}": p for name, p in bank.blocks[block].named_parameters()}


def storable(value: Any) -> Any:
    """Return a value as a store takes it: numbers that are not finite are ``None``."""
    if isinstance(value, list):
        return [storable(part) for part in value]
    if isinstance(value, dict):
        return {name: storable(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
