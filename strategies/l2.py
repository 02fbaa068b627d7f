"""The plain L2 anchor."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.penalty.regularizer import Regularizer


class L2(Regularizer):
    """Protect all parameters of the earlier models equally, by an anchor without importances (L2).

    ``strength/2 * sum_i (theta_i - theta*_i)^2`` with the anchor ``theta*`` at the latest
    weights of each parameter that some earlier model used. It is the control for every importance:
    what EWC, SI or WPL gain over it is due to their importances.

    Source: the L2 penalty that Kirkpatrick et al., Overcoming catastrophic forgetting, PNAS
    2017, figure 2A, compare with.

    Limits:
        It treats all parameters alike. Where it does as well as a penalty with importances, these
        do not help.
    """

    facts = Facts(
        name="l2",
        summary="plain L2 anchor: all parameters of earlier models equally, the control for "
        "importances",
        source="Kirkpatrick et al., PNAS 2017, figure 2A",
        dial=STRENGTH,
        color="#cc78bc",
        ends_only=True,
    )

    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return ones: every parameter that the model used is as important as any other."""
        return {name: torch.ones_like(value.detach()) for name, value in parameters.items()}

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Move the anchor to the new weights."""
        return importance, value
