"""Training in bfloat16, by torch's autocast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def train_in_bfloat16(strategy: Any) -> None:
    """Let a strategy compute the forward passes of its training in bfloat16 from now on.

    Weights, their gradients, the optimizer and the loss stay float32, and so does everything
    outside of these passes: evaluations, importances, distillation.

    Args:
        strategy: Of Avalanche, this harness's or one of its own; it is changed in place.
    """
    plain = strategy.forward
    kind = torch.device(strategy.device).type

    def forward(*arguments: Any, **keywords: Any) -> Any:
        if not strategy.is_training:
            return plain(*arguments, **keywords)
        with torch.autocast(kind, torch.bfloat16):
            outputs = plain(*arguments, **keywords)
        return outputs.float() if isinstance(outputs, Tensor) else outputs

    strategy.forward = forward
