"""Training losses. ``strategies.base.likelihood.loss_of`` applies them to a batch."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from palimpsest.benchmark.scenarios.checking import check_smoothing
from palimpsest.benchmark.scenarios.scenario import OfOutputs


class TokenLoss(nn.CrossEntropyLoss):
    """The mean cross-entropy over all words of all windows."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of logits (N, L, words) and words (N, L), a scalar."""
        return super().forward(outputs.flatten(0, -2), targets.flatten())


def smoothed(loss: OfOutputs, share: float) -> OfOutputs:
    """Return torch's cross-entropy with ``label_smoothing``.

    Args:
        loss: The scenario's loss, which is not changed.
        share: The share of a label that is spread evenly over all classes.

    Raises:
        UserError: The loss is not ``torch.nn.CrossEntropyLoss``.
    """
    check_smoothing(loss, share)
    if share == 0:
        return loss
    own: Any = copy.copy(loss)
    own.label_smoothing = share
    return own  # type: ignore[no-any-return]
