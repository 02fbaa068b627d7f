"""Masks over weights, by which each model uses a part of the same weights.

A layer with a weight W is wrapped: it computes with ``W * M``. While a model trains, its mask
follows from its scores S, one for each weight, and the gradient of the mask is passed on to the
scores as it is (straight through)::

    threshold   M = 1[S >= 0]                                dL/dS = dL/dM
    top k       M = 1[|S| among the k n largest of n]        dL/dS = dL/dM sign(S)

Afterwards the scores are dropped and the mask is kept, a bit for each weight.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from palimpsest.strategies.base.network import running_statistics
from palimpsest.strategies.base.wrapping import wrap, wrapped

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The kinds of layers that are masked."""


class MaskedLayer(nn.Module):
    """A linear or convolutional layer whose weight is masked.

    Args:
        layer: The layer.
        density: k, the share of weights that a mask keeps; ``None`` for the threshold.

    Attributes:
        layer: The layer, with the weight W.
        scores: S of the model that trains, by its number.
        learns: The number of the model whose scores are applied; ``None``: none.
        mask: What is applied where no model learns; ``None``: nothing.
    """

    def __init__(self, layer: nn.Module, density: float | None) -> None:
        super().__init__()
        self.layer = layer
        self.density = density
        self.scores = nn.ParameterDict()
        self.learns: int | None = None
        self.mask: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """W, without a mask."""
        found: Tensor = self.layer.weight  # type: ignore[assignment]
        return found

    @property
    def bias(self) -> Tensor | None:
        """The layer's own, which what it is a part of may ask for."""
        found: Tensor | None = self.layer.bias  # type: ignore[assignment]
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the layer with its mask."""
        weight = self.weight
        if self.learns is not None:
            scores = self.scores[str(self.learns)]
            weight = _Masked.apply(scores, self._mask(), weight, self.density is not None)
        elif self.mask is not None:
            weight = weight * self.mask
        outputs: Tensor = functional_call(self.layer, {"weight": weight}, (x,))
        return outputs

    @torch.no_grad()
    def chosen(self) -> Tensor:
        """Return the mask of the model that learns, as booleans."""
        return self._mask().bool()

    def begin(self, model: int, generator: torch.Generator) -> None:
        """Begin the scores of a model, uniform in ``[-1, 1] / sqrt(fan_in)``."""
        weight = self.weight.detach()
        drawn = 2 * torch.rand(weight.shape, generator=generator) - 1
        scores = (drawn / math.sqrt(weight[0].numel())).to(weight)
        self.scores[str(model)] = nn.Parameter(scores)
        self.learns = model

    def end(self) -> Tensor:
        """Drop the scores; return their mask, packed."""
        bits = packed(self.chosen())
        self.scores.clear()
        self.learns = None
        return bits

    @torch.no_grad()
    def _mask(self) -> Tensor:
        """Return the mask of the model that learns, as 0 and 1 in the type of the scores."""
        scores: Tensor = self.scores[str(self.learns)]
        if self.density is None:
            return at_least(scores, 0.0)
        return largest(scores.abs(), max(1, round(self.density * scores.numel())))


class _Masked(torch.autograd.Function):
    """``W * M``, whose gradient goes to the scores of M, times their signs where it is signed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, mask: Tensor, weight: Tensor, signed: bool) -> Tensor:
        return mask * weight

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor
    ) -> None:
        scores, _, weight, ctx.signed = inputs
        ctx.save_for_backward(scores, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        scores, weight = ctx.saved_tensors
        passed = scores.sign().mul_(weight) if ctx.signed else weight
        return passed * gradient, None, None, None


def at_least(values: Tensor, bound: float) -> Tensor:
    """Return 1 where values are a bound or more, 0 elsewhere, in their type."""
    # Into a tensor of that type: four times as fast as by way of booleans.
    return torch.ge(values, bound, out=torch.empty_like(values))


def largest(values: Tensor, count: int) -> Tensor:
    """Return 1 for the largest, exactly so many, and 0 for others; of equal ones, the first.

    Args:
        values: Of any shape.
        count: From 1 to their number.
    """
    flat = values.detach().reshape(-1)
    place = len(flat) - count
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):
        # NumPy selects with vector instructions: a tenth of the time that torch takes.
        parted = np.partition(flat.numpy(), place)
        least = float(parted[place])
        unequal = place == 0 or parted[:place].max() < least
    else:
        least = float(flat.kthvalue(place + 1).values)
        unequal = False
    found = at_least(flat, least)
    if not unequal:
        ties = (flat == least).nonzero()[:, 0]
        found[ties[len(ties) - int(found.sum()) + count :]] = 0
    return found.view(values.shape)


def add_masks(model: nn.Module, density: float | None) -> list[MaskedLayer]:
    """Wrap each linear or convolutional layer that can be trained, but for heads that grow.

    Returns:
        The new layers; those that are wrapped already stay as they are.
    """

    def made(layer: nn.Module) -> MaskedLayer | None:
        can = type(layer) in LAYERS and layer.weight.requires_grad
        return MaskedLayer(layer, density) if can else None

    for layer in model.modules():
        if isinstance(layer, nn.TransformerEncoderLayer):
            layer.activation_relu_or_gelu = 0  # else it evaluates fused, without the masks
    return wrap(model, MaskedLayer, made)


def masked_layers(model: nn.Module) -> dict[str, MaskedLayer]:
    """Return the wrapped layers of a network, by name."""
    return wrapped(model, MaskedLayer)


def make_signed_constant(layer: MaskedLayer) -> None:
    """Set each weight to its sign times ``sqrt(2 / fan_in)`` (Wortsman et al.)."""
    with torch.no_grad():
        size = math.sqrt(2 / layer.weight[0].numel())
        layer.weight.copy_(torch.where(layer.weight < 0, -size, size))


def packed(mask: Tensor) -> Tensor:
    """Return booleans as bytes of eight bits."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def _is_packed(mask: Tensor) -> bool:
    return mask.dtype == torch.uint8


def unpacked(bits: Tensor, like: Tensor) -> Tensor:
    """Undo ``packed``: return 0 and 1 in the shape, type and on the device of another tensor."""
    flat = torch.from_numpy(np.unpackbits(bits.numpy(), count=like.numel()))
    return flat.view(like.shape).to(like)


def copied(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies."""
    return {name: value.clone() for name, value in values.items()}


@torch.no_grad()
def superposed(
    model: nn.Module, masks: Sequence[Mapping[str, Tensor]], alpha: Tensor
) -> dict[str, Tensor]:
    """Return the mixture ``sum_i alpha_i M_i`` of packed masks, by layer.

    Args:
        model: With the layers.
        masks: M_i, packed, by layer.
        alpha: The weight of each (k,).
    """
    layers = masked_layers(model)
    mixed = {name: torch.zeros_like(layers[name].weight) for name in masks[0]}
    for weight, own in zip(alpha.tolist(), masks, strict=True):
        for name, total in mixed.items():
            total.add_(unpacked(own[name], total), alpha=weight)
    return mixed


@contextmanager
def applied(
    model: nn.Module, masks: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
) -> Iterator[None]:
    """Apply masks, by layer, and running statistics, by name, while the context lasts.

    Args:
        model: With the layers.
        masks: Packed, or mixtures of the shapes of the weights.
        statistics: Of normalisation layers.
    """
    layers, running = masked_layers(model), running_statistics(model)
    before = {name: (own.mask, own.learns) for name, own in layers.items()}
    last = copied(running)
    try:
        for name, new in masks.items():
            own = layers[name]
            own.mask = unpacked(new, own.weight.detach()) if _is_packed(new) else new
            own.learns = None
        for name, value in statistics.items():
            running[name].copy_(value)
        yield
    finally:
        for name, (mask, learns) in before.items():
            layers[name].mask, layers[name].learns = mask, learns
        for name, value in last.items():
            running[name].copy_(value)
