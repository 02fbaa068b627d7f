"""A scenario's loss with smoothed labels."""

from __future__ import annotations

import copy

from torch import nn

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.scenarios.scenario import OfOutputs


def smoothed(loss: OfOutputs, share: float) -> OfOutputs:
    """Return a training loss with smoothed labels: torch's, with its ``label_smoothing`` set.

    Args:
        loss: Of the scenario, which stays as it is.
        share: Of a label, spread evenly over all classes; 0 for the loss itself.

    Raises:
        UserError: The loss is not ``torch.nn.CrossEntropyLoss``.
    """
    if share == 0:
        return loss
    if not isinstance(loss, nn.CrossEntropyLoss):
        name = getattr(loss, "__name__", type(loss).__name__)
        raise UserError(
            f"label_smoothing needs a scenario with the loss torch.nn.CrossEntropyLoss, and its "
            f"loss is {name}; remove label_smoothing, or smooth inside that loss"
        )
    own = copy.copy(loss)
    own.label_smoothing = share
    return own
