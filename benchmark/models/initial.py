"""Initial weights other than torch's, for networks that are built layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import nn

InitialWeights = Literal["torch", "glorot", "glorot_zero_heads"]


def draw_weights(
    hidden: Iterable[nn.Module], heads: Iterable[nn.Module], how: InitialWeights
) -> None:
    """Draw the weights of blocks anew, from torch's global generator.

    ``glorot``: weights uniform in ``+-sqrt(6 / (inputs + outputs))``, biases 0 (a convolution's
    inputs and outputs are channels times pixels of its kernel). ``glorot_zero_heads``: the same,
    but all weights of the heads are 0. ``torch``: as they are.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks, AISTATS 2010, equation 16.
    """
    if how == "torch":
        return
    for layer in _layers(hidden):
        nn.init.xavier_uniform_(layer.weight)
        _without_bias(layer)
    for layer in _layers(heads):
        if how == "glorot":
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.zeros_(layer.weight)
        _without_bias(layer)


def _layers(blocks: Iterable[nn.Module]) -> list[nn.Linear | nn.Conv2d]:
    return [
        layer
        for block in blocks
        for layer in block.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]


def _without_bias(layer: nn.Linear | nn.Conv2d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
