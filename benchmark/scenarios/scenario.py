"""A scenario that is ready to run: Avalanche experiences and the bank of models that learn them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmark.models.bank import ModelBank


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
