"""The Fisher information of a model, for probes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.probes.base.probe import Subject, parameters_of
from palimpsest.strategies.base.likelihood import as_trained
from palimpsest.strategies.curvature.fisher import diagonal_fisher

SAMPLES = 1000
"""The most training samples that it is averaged over, a fixed random choice."""


def information_of(
    subject: Subject, strategy: Any, model: int, blocks: list[str]
) -> dict[str, dict[str, Tensor]]:
    """Return the exact diagonal Fisher information of some blocks of the model just trained.

    The data are its own training data, and the outputs those that the training's loss takes.

    Returns:
        For each block, tensors of its parameters' shapes, by name.
    """
    found: dict[str, dict[str, Tensor]] = {}
    experience = subject.scenario.train[model]
    x, y, _ = experience.dataset.samples
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:SAMPLES]

    def see(_: int, bank: ModelBank) -> None:
        own = order.to(x.device)
        with torch.enable_grad():
            for block in blocks:
                found[block] = diagonal_fisher(
                    bank,
                    parameters_of(bank, block),
                    x[own],
                    y[own],
                    task_label=experience.task_label,
                )

    with as_trained(strategy):
        subject.look(strategy, [model], see)
    return found
