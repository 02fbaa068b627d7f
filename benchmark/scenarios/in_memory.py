"""Tensors in memory as an Avalanche dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from avalanche.benchmarks.utils import (
    ConstantSequence,
    DataAttribute,
    TaskAwareSupervisedClassificationDataset,
)
from torch import Tensor
from torch.utils.data import TensorDataset


class _Labels(DataAttribute):
    """Labels that know their distinct values; Avalanche would check each, or only the first."""

    def __init__(
        self, labels: Sequence[int], name: str, different: set[int], **options: Any
    ) -> None:
        super().__init__(labels, name, **options)
        self._uniques = different


class InMemoryDataset(TaskAwareSupervisedClassificationDataset):
    """An Avalanche dataset that still has the tensors it was made from.

    Attributes:
        tensors: Inputs, targets and the task label (or one per sample); ``None`` for what
            Avalanche derives from it, such as subsets.
    """

    tensors: tuple[Tensor, Tensor, int | Tensor] | None = None

    @classmethod
    def of(cls, x: Tensor, y: Tensor, task: int | Tensor) -> Self:
        """Wrap tensors; ``task`` is the task label of all samples, or one for each (N,)."""
        targets = y.tolist()
        classes = set(targets if y.ndim == 1 else y.flatten().tolist())
        if isinstance(task, int):
            labels, tasks = ConstantSequence(task, len(x)), {task} if len(x) else set()
        else:
            labels = task.tolist()
            tasks = set(labels)
        attributes = [
            _Labels(targets, "targets", classes),
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
