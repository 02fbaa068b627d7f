"""Avalanche datasets of tensors in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from avalanche.benchmarks.utils import (
    ConstantSequence,
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
)
from torch import Tensor
from torch.utils.data import TensorDataset

from palimpsest.benchmark.data.formats.pixels import Inputs, Pixels, joined
from palimpsest.benchmark.errors import UserError


class _Labels(DataAttribute):
    """Labels with known distinct values; Avalanche would check each, or only the first."""

    def __init__(
        self, labels: Sequence[int], name: str, different: set[int], **options: Any
    ) -> None:
        super().__init__(labels, name, **options)
        self._uniques = different


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of all samples as a list, and the different classes among them.

    Avalanche needs both. Those of a text take memory: they are made once.
    """

    values: list[Any]
    different: set[int]

    @classmethod
    def of(cls, y: Tensor) -> Self:
        """List targets (N, ...)."""
        values = y.tolist()
        return cls(values, set(values if y.ndim == 1 else torch.unique(y).tolist()))


class InMemoryDataset(TaskAwareSupervisedClassificationDataset):
    """An Avalanche dataset that still has the tensors it was made from.

    Attributes:
        samples: Inputs (a tensor, or `Pixels`), targets and the task label, or one per sample;
            ``None`` for what Avalanche derives from it, such as subsets.
    """

    samples: tuple[Inputs, Tensor, int | Tensor] | None = None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, int | Tensor] | None:
        """The samples with all inputs as one tensor: of `Pixels`, a new float tensor each time."""
        if self.samples is None:
            return None
        x, y, task = self.samples
        return (x[:] if isinstance(x, Pixels) else x), y, task

    @classmethod
    def of(cls, x: Inputs, y: Tensor, task: int | Tensor, targets: Targets | None = None) -> Self:
        """Wrap tensors.

        Args:
            x: Inputs (N, ...).
            y: Targets (N, ...); whole numbers of any type become int64, as losses want classes.
            task: The task label of all samples, or one for each (N,).
            targets: Of y, if they have been listed already.

        Raises:
            UserError: There are more samples than targets, or fewer.
        """
        if len(x) != len(y):
            raise UserError(f"{len(x):,} samples and {len(y):,} labels; expected one for each")
        if is_whole(y):
            y = y.long()
        targets = targets or Targets.of(y)
        if isinstance(task, int):
            labels, tasks = ConstantSequence(task, len(x)), {task} if len(x) else set()
        else:
            labels = task.tolist()
            tasks = set(labels)
        attributes = [
            _Labels(targets.values, "targets", targets.different),
            _Labels(labels, "targets_task_labels", tasks, use_in_getitem=True),
        ]
        pairs: Any = TensorDataset
        dataset = cls([pairs(x, y)], data_attributes=attributes)
        dataset.samples = (x, y, task)
        return dataset

    def concat(self, other: Any) -> Any:
        """Return the union of two datasets, in memory if both are."""
        if self.samples is None or getattr(other, "samples", None) is None:
            return super().concat(other)
        y, task = (
            torch.cat([_per_sample(own, self), _per_sample(theirs, other)])
            for own, theirs in zip(self.samples[1:], other.samples[1:], strict=True)
        )
        return self.of(joined(self.samples[0], other.samples[0]), y, task)


def is_whole(y: Tensor) -> bool:
    """Whether targets are whole numbers, of any type."""
    return not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)


def _per_sample(values: int | Tensor, dataset: InMemoryDataset) -> Tensor:
    if isinstance(values, Tensor):
        return values
    assert dataset.samples is not None
    return torch.full((len(dataset),), values, device=dataset.samples[0].device)
