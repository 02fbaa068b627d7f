"""Common parts of methods that train on stored samples of earlier models."""

from collections import Counter
from typing import Any

import numpy as np
import torch
from avalanche.models.utils import avalanche_forward, is_multi_task_module
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from palimpsest.strategies.base.hooks import Configured, Task
from palimpsest.strategies.base.likelihood import trained_outputs
from palimpsest.strategies.base.settings import Count, Seed, StrategySettings, Whole
from palimpsest.strategies.memory.reservoir import Reservoir, Rows

Labels = int | Tensor
"""The task label of all samples, or one for each (N,)."""


class MemorySettings(StrategySettings):
    """The settings of methods that store samples."""

    memory: Whole = Field(
        200,
        le=10**9,
        description="Samples in the memory, of all models together. 0 is fine-tuning.",
    )
    memory_batch: Count | None = Field(
        None,
        le=10**9,
        description="M: samples drawn from the memory at a time, different ones, all where it has "
        "fewer. null: as many as a training batch has.",
    )
    seed: Seed = 0


class Rehearsal(Configured):
    """A plugin with a reservoir of training samples.

    A sample is offered each time that a model is trained on it, whole: inputs, target and task
    label, which says whose sample it is. Inputs are stored as the data are: images that the harness
    holds as bytes stay bytes, and augmentation is left out. What is drawn is augmented anew, each
    time in another way, with numbers of its own. In a program whose data loader augments, inputs
    are stored as they come, and stay so.

    Attributes:
        memory: The samples. Its rows are ``x`` (inputs, of bytes with their ``mean`` and ``std`` in
            each channel), ``y``, ``label`` (on the CPU), and what a method adds.
    """

    Settings = MemorySettings
    settings: MemorySettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.memory = Reservoir(self.settings.memory, np.random.default_rng(self.settings.seed))
        self._noise = torch.Generator().manual_seed(self.settings.seed)

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse inputs of several kinds."""
        if self.settings.memory:
            for _, x in task.samples:
                self._check_kind(task.samples[0][1], x)

    def remember(self, strategy: Any, **more: Tensor) -> None:
        """Offer the batch that is being trained on to the memory.

        Args:
            strategy: The Avalanche strategy.
            **more: What else is to be known of the samples, a row for each.

        Raises:
            ValueError: Its inputs are of another kind than those in the memory.
        """
        rows = {**self._alike(_as_stored(strategy)), "y": strategy.mb_y, **more}
        rows["label"] = _each(task_labels(strategy), len(strategy.mb_y)).cpu()
        self.memory.offer(rows)

    def recall(self, strategy: Any, beside: Labels | None = None) -> Rows:
        """Return samples of the memory, ``x`` as the network takes it; none where it is empty.

        Batch normalisation has no statistics of one sample. So where a network has it, the only
        sample of a model in a batch is left out.

        Args:
            strategy: The Avalanche strategy.
            beside: The labels of samples that pass through the network together with these.
        """
        if not len(self.memory):
            return {}
        rows = self.memory.draw(self.settings.memory_batch or strategy.train_mb_size)
        if any(isinstance(module, _BatchNorm) for module in strategy.model.modules()):
            kept = _in_company(strategy.model, rows["label"], beside)
            if not kept.any():
                return {}
            rows = {name: value[kept.to(value.device)] for name, value in rows.items()}
        x, mean, std = _numbers(rows), rows.pop("mean", None), rows.pop("std", None)
        for plugin in strategy.plugins:
            change = getattr(plugin, "augment_stored", None)
            x = x if change is None else change(x, mean, std, self._noise)
        return {**rows, "x": x}

    def _alike(self, new: Rows) -> Rows:
        """Return inputs of the kind that the memory holds; it holds numbers once it was given any.

        Raises:
            ValueError: They have another shape or type.
        """
        held = self.memory.rows
        if not held:
            return new
        if "mean" in held and "mean" not in new:
            held["x"] = _numbers(held)
            del held["mean"], held["std"]
        if "mean" in new and "mean" not in held:
            new = {"x": _numbers(new)}
        self._check_kind(held["x"], new["x"])
        return new

    def _check_kind(self, old: Tensor, x: Tensor) -> None:
        if (old.shape[1:], old.dtype) != (x.shape[1:], x.dtype):
            raise ValueError(
                f"{type(self).__name__} keeps samples of one kind in its memory, of shape "
                f"{tuple(old.shape[1:])} and type {old.dtype} so far, but these have the shape "
                f"{tuple(x.shape[1:])} and type {x.dtype}; give all models inputs of one kind, or "
                "use a strategy that stores none, such as ewc or wpl"
            )


def task_labels(strategy: Any) -> Labels:
    """Return the task labels of the current batch; 0 in a program that has none."""
    labels: Labels = strategy.mb_task_id if len(strategy.mbatch) > 2 else 0
    return labels


def labels_of(labels: Tensor, device: torch.device) -> Labels:
    """Return task labels (N,) from the CPU as a network takes them: one where all are the same."""
    first = int(labels[0])
    return first if bool((labels == first).all()) else labels.to(device)


def joined(first: Labels, count: int, second: Tensor, device: torch.device) -> Labels:
    """Return the labels of ``count`` samples and then those of others.

    Args:
        first: Of the former.
        count: How many they are.
        second: Of the latter (M,), on the CPU.
        device: Where the network is.
    """
    if isinstance(first, int) and bool((second == first).all()):
        return first
    return torch.cat([_each(first, count).to(device), second.to(device)])


def outputs_for(strategy: Any, rows: Rows) -> Tensor:
    """Return the outputs for samples of a memory, as far as the training's loss takes them.

    Args:
        strategy: The Avalanche strategy.
        rows: What ``recall`` returned.
    """
    x = rows["x"]
    found = avalanche_forward(strategy.model, x, labels_of(rows["label"], x.device))
    return trained_outputs(strategy, found)


def _as_stored(strategy: Any) -> Rows:
    """Return the inputs of the current batch as the data set has them, else as they are."""
    samples = getattr(strategy.adapted_dataset, "samples", None)
    chosen = getattr(strategy.dataloader, "chosen", None)
    if samples is None or chosen is None:
        return {"x": strategy.mb_x}
    inputs = samples[0]
    if not hasattr(inputs, "bytes_of"):
        return {"x": inputs[chosen]}
    scale = {"mean": inputs.mean, "std": inputs.std}
    rows = {name: value.expand(len(chosen), *value.shape[1:]) for name, value in scale.items()}
    return {"x": inputs.bytes_of(chosen), **rows}


def _numbers(rows: Rows) -> Tensor:
    """Return inputs as a network takes them: of bytes, normalised as their own data set is."""
    if "mean" not in rows:
        return rows["x"]
    return rows["x"].to(torch.float32, copy=True).sub_(rows["mean"]).div_(rows["std"])


def _each(labels: Labels, count: int) -> Tensor:
    return labels if isinstance(labels, Tensor) else torch.full((count,), labels)


def _in_company(model: nn.Module, labels: Tensor, beside: Labels | None) -> Tensor:
    """Return which samples (N,) share their pass through the network with another one."""
    if not is_multi_task_module(model):  # all pass together
        return torch.full_like(labels, len(labels) > 1 or beside is not None, dtype=torch.bool)
    others: set[int] = set()
    if beside is not None:
        others = set(beside.tolist()) if isinstance(beside, Tensor) else {beside}
    own = labels.tolist()
    count = Counter(own)
    return torch.tensor([count[label] > 1 or label in others for label in own])
