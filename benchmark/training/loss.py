"""Losses that models train on; ``strategies.base.likelihood.loss_of`` applies them to a batch."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from palimpsest.benchmark.scenarios.checking import check_smoothing
from palimpsest.benchmark.scenarios.scenario import OfOutputs


class TokenLoss(nn.CrossEntropyLoss):
    """The mean cross-entropy of all words of all windows."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of logits (N, L, words) and words (N, L), a scalar."""
        return super().forward(outputs.flatten(0, -2), targets.flatten())


def smoothed(loss: OfOutputs, share: float) -> OfOutputs:
    """Return a training loss with smoothed labels: torch's, with its ``label_smoothing`` set.

    Args:
        loss: Of the scenario, which stays as it is.
        share: Of a label, spread evenly over all classes; 0 for the loss itself.

    Raises:
        UserError: The loss is not ``torch.nn.CrossEntropyLoss``.
    """
    check_smoothing(loss, share)
    if share == 0:
        return loss
    own: Any = copy.copy(loss)
    own.label_smoothing = share
    return own  # type: ignore[no-any-return]
