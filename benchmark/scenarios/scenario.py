"""A scenario that is ready to run: Avalanche experiences and the bank of models that learn them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.utils import (
    ConstantSequence,
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
)
from torch import Tensor
from torch.utils.data import TensorDataset

from benchmark.data.images import load
from benchmark.data.sharing import shared
from benchmark.data.splits import validation_split
from benchmark.models.bank import ModelBank
from benchmark.scenarios.settings import ScenarioSettings

Samples = tuple[Tensor, Tensor]
"""Inputs (N, C, H, W) and targets (N,)."""


@dataclass(frozen=True)
class Part:
    """The data of one experience, in three disjoint splits."""

    train: Samples
    validation: Samples
    test: Samples

    def map_inputs(self, function: Callable[[Tensor], Tensor]) -> Part:
        """Return the same data with every split's inputs transformed."""
        splits = (self.train, self.validation, self.test)
        return Part(*((function(x), y) for x, y in splits))

    def with_classes(self, classes: Sequence[int], labels: Sequence[int]) -> Part:
        """Return the samples of some classes, relabelled ``classes[i] -> labels[i]``."""
        splits = []
        for x, y in (self.train, self.validation, self.test):
            new = torch.full_like(y, -1)
            for old_label, label in zip(classes, labels, strict=True):
                new[y == old_label] = label
            splits.append((x[new >= 0], new[new >= 0]))
        return Part(*splits)


@dataclass(frozen=True)
class Source:
    """A data set as a scenario finds it: its splits, image shape and number of classes."""

    part: Part
    input_shape: tuple[int, int, int]
    n_classes: int


@dataclass(frozen=True)
class Scenario:
    """Experiences in order, and how long each model trains on its own.

    Attributes:
        model: The bank; model i learns experience i.
        train: Avalanche experiences with the training data.
        validation: The held-out part of the training data, for choosing settings and stopping.
        test: For the reported numbers only.
        curve_data: What curves are measured on: test experiences with fewer samples, say.
        steps: Optimizer steps of each model, at most.
        targets: Validation accuracy at which a model's training ends early, or ``None``.
    """

    model: ModelBank
    train: list[Any]
    validation: list[Any]
    test: list[Any]
    curve_data: list[Any]
    steps: list[int]
    targets: list[float | None]


class _Labels(DataAttribute):
    """Labels that know their different values; Avalanche would look one by one, or at the first."""

    def __init__(
        self, labels: Sequence[int], name: str, different: set[int], **options: Any
    ) -> None:
        super().__init__(labels, name, **options)
        self._uniques = different


class InMemoryDataset(TaskAwareSupervisedClassificationDataset):
    """An Avalanche dataset that still has the tensors it was made from.

    Attributes:
        tensors: Inputs, targets and the task label (or one a sample); ``None`` for what
            Avalanche derives from it, such as subsets.
    """

    tensors: tuple[Tensor, Tensor, int | Tensor] | None = None

    @classmethod
    def of(cls, x: Tensor, y: Tensor, task: int | Tensor) -> Self:
        """Wrap tensors; ``task`` is the task label of all samples, or one for each (N,)."""
        targets = y.tolist()
        if isinstance(task, int):
            labels, tasks = ConstantSequence(task, len(x)), {task} if len(x) else set()
        else:
            labels = task.tolist()
            tasks = set(labels)
        attributes = [
            _Labels(targets, "targets", set(targets)),
            _Labels(labels, "targets_task_labels", tasks, use_in_getitem=True),
        ]
        dataset = cls([TensorDataset(x, y)], data_attributes=attributes)
        dataset.tensors = (x, y, task)
        return dataset

    def concat(self, other: Any) -> Any:
        """Return the union of two datasets, in memory if both are."""
        if self.tensors is None or getattr(other, "tensors", None) is None:
            return super().concat(other)
        x, y, task = (
            torch.cat([_per_sample(own, self), _per_sample(theirs, other)])
            for own, theirs in zip(self.tensors, other.tensors, strict=True)
        )
        return self.of(x, y, task)


def _per_sample(values: int | Tensor, dataset: InMemoryDataset) -> Tensor:
    if isinstance(values, Tensor):
        return values
    assert dataset.tensors is not None
    return torch.full((len(dataset),), values, device=dataset.tensors[0].device)


@lru_cache(maxsize=4)
def _source(name: str, root: Path, samples: int | None, validation: float, device: str) -> Source:
    splits, input_shape, n_classes = shared(
        (name, root, samples, validation), lambda: _splits(name, root, samples, validation)
    )
    part = Part(*((x.to(device), y.to(device)) for x, y in splits))
    return Source(part, input_shape, n_classes)


def _splits(
    name: str, root: Path, samples: int | None, validation: float
) -> tuple[list[Samples], tuple[int, int, int], int]:
    """Return a data set's splits, on the CPU, its image shape and its number of classes."""
    images = load(name, root)
    x, y = _choose((images.train_x, images.train_y), samples)
    train, held_out = validation_split(y, validation)
    splits = [(x[train], y[train]), (x[held_out], y[held_out]), (images.test_x, images.test_y)]
    return splits, images.input_shape, images.n_classes


def source(settings: ScenarioSettings, root: Path, device: str, name: str | None = None) -> Source:
    """Load the scenario's data set onto the device; on the CPU, once for all processes that share.

    Args:
        settings: Its ``data``, ``samples`` and ``validation``.
        root: The folder that holds the data sets.
        device: Where the tensors are to be.
        name: Another data set in place of ``settings.data``.
    """
    chosen = settings.data if name is None else name
    return _source(chosen, root, settings.samples, settings.validation, device)


def assemble(
    settings: ScenarioSettings,
    model: ModelBank,
    parts: Sequence[Part],
    labels: Sequence[int],
    targets: Sequence[float | None] | None = None,
) -> Scenario:
    """Make a scenario of a bank and the data of each experience.

    Args:
        settings: For the steps or epochs, and the samples of curves.
        model: The bank.
        parts: The data of each experience.
        labels: The task label of each experience: which model of the bank learns it.
        targets: See ``Scenario.targets``.
    """

    def datasets(split: Callable[[Part], Samples]) -> list[InMemoryDataset]:
        return [
            InMemoryDataset.of(*split(part), label)
            for part, label in zip(parts, labels, strict=True)
        ]

    watched = attrgetter(settings.curve.split)
    streams = benchmark_from_datasets(
        train=datasets(lambda part: part.train),
        validation=datasets(lambda part: part.validation),
        test=datasets(lambda part: part.test),
        curve_data=datasets(lambda part: _choose(watched(part), settings.curve.samples)),
    )
    streams = with_task_labels(with_classes_timeline(streams)).streams
    return Scenario(
        model=model,
        train=list(streams["train"]),
        validation=list(streams["validation"]),
        test=list(streams["test"]),
        curve_data=list(streams["curve_data"]),
        steps=[settings.steps_for(len(part.train[0])) for part in parts],
        targets=list(targets) if targets else [None] * len(parts),
    )


def _choose(samples: Samples, count: int | None) -> Samples:
    """Return so many samples at most, the same random choice for all data of one size."""
    x, y = samples
    if count is None or count >= len(x):
        return samples
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
    return x[chosen], y[chosen]
