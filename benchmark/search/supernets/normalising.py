"""Normalisation in supernets, without running statistics: they would fit no architecture.

Each architecture has activations of its own, and running statistics would average over all that
were trained recently. So batch normalisation takes the mean and variance of the current batch, in
evaluation, too. The logits of a sample then depend on its batch, and an evaluation needs batches of
some size, drawn like those of the training and not of one class each. Layer normalisation takes the
mean and variance of each sample, which depend on nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.search.supernets.settings import Normalisation


def of_images(kind: Normalisation, channels: int) -> nn.Module:
    """Return a normalisation of feature maps (N, C, H, W).

    Args:
        kind: ``batch``: each channel over the batch and all positions. ``layer``: each sample over
            channels and positions. ``none``: nothing.
        channels: C.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels, track_running_stats=False)
    return nn.GroupNorm(1, channels) if kind == "layer" else nn.Identity()


def of_sequences(kind: Normalisation, size: int) -> nn.Module:
    """Return a normalisation of the outputs (N, L, H) of a recurrent cell.

    Args:
        kind: ``batch``: each unit over the batch, at each time step. ``layer``: each sample over
            its units, at each time step. ``none``: nothing.
        size: H.
    """
    if kind == "batch":
        return BatchNormEachStep(size)
    return nn.LayerNorm(size) if kind == "layer" else nn.Identity()


class BatchNormEachStep(nn.Module):
    """Batch normalisation of sequences (N, L, H), with the statistics of each time step.

    ``(o - mean) / sqrt(var + 1e-5) * weight + bias``, with mean and biased variance over N of each
    step and unit.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sequences.

        Raises:
            UserError: There is a single sequence, which has no variance.
        """
        if len(x) == 1:
            raise UserError(
                "batch normalisation over the sequences of a batch needs two or more of them, got "
                "one: use more columns, or normalisation: layer"
            )
        steps = x.flatten(1)  # a channel for each step and unit
        normalised = functional.batch_norm(steps, None, None, training=True).view_as(x)
        return normalised * self.weight + self.bias
