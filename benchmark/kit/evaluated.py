"""Losses and outputs that a strategy's evaluation finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

OUTPUTS = "outputs of model"
"""What the names of outputs begin with; no weight is called that."""


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
