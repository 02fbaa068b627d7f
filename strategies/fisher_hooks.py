"""Watches a network's layers at work: what goes into them, and the gradient by what comes out.

A hook on every layer that ``fisher_layers.py`` covers notes its input and adds zeros to its output
that require a gradient; the gradient by the zeros is the gradient by the output. While the layer
itself runs, its parameters require none. So any other use of them, by the layer again, by another
layer that shares them or by a function, shows in the autograd graph, and a parameter that is not
in the graph is one whose gradients the notes account for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.models.utils import avalanche_forward
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from strategies.fisher_layers import LAYERS, SquaredGradients, covers
from strategies.fisher_recurrent import unroll

_BATCH = 1024
"""Samples that one forward pass takes at most."""

_BATCH_ELEMENTS = 2**21
"""Elements of inputs and outputs that it holds at most, so that they stay in the cache."""


@dataclass(frozen=True)
class Use:
    """The use of a weight in a forward pass.

    Attributes:
        layer: The layer it belongs to.
        weight: The weight itself.
        bias: Its bias, if it has one.
        inputs: What the weight is applied to, outside the autograd graph.
        zeros: What is added to the result, a leaf of the graph.
    """

    layer: nn.Module
    weight: Tensor
    bias: Tensor | None
    inputs: Tensor
    zeros: Tensor

    def squares(self, axis: int) -> SquaredGradients:
        """Return empty sums of squared gradients; the samples are along ``axis``."""
        rule = LAYERS[type(self.layer)]
        return rule(self.layer, self.inputs.movedim(axis, 0), self.zeros.movedim(axis, 0))


@dataclass(frozen=True)
class Plan:
    """Which layers of a network can be watched, and how.

    Attributes:
        layers: Layers that see every sample by itself, along one dimension of their input.
        axes: That dimension, by weight.
        batch: Samples that one forward pass should take.
    """

    layers: list[nn.Module]
    axes: dict[Tensor, int]
    batch: int


def plan(model: nn.Module, wanted: Collection[Tensor], x: Tensor, task_label: int) -> Plan:
    """Find out by two small forward passes, of one sample repeated.

    Args:
        model: The network, in evaluation mode.
        wanted: Layers without any of these parameters are left alone.
        x: Inputs (N, ...); the first is used.
        task_label: Which model of a bank.

    Returns:
        The plan for all of ``x``.
    """
    own = set(wanted)
    layers = [
        layer
        for layer in model.modules()
        if covers(layer) and not own.isdisjoint(layer.parameters(recurse=False))
    ]
    if not layers:
        return Plan([], {}, _BATCH)
    _, twice = forward(model, x[[0] * 2], task_label, layers)
    _, thrice = forward(model, x[[0] * 3], task_label, layers)
    longer = {use.weight: use for use in thrice}
    axes, elements, strays = {}, 1, set(layers) - {use.layer for use in twice}
    for use in twice:
        axis = _sample_axis(use, longer[use.weight]) if use.weight in longer else None
        if axis is None:
            strays.add(use.layer)
        else:
            axes[use.weight] = axis
            elements += use.squares(axis).elements // 2
    watched = [layer for layer in layers if layer not in strays]
    return Plan(watched, axes, min(_BATCH, max(1, _BATCH_ELEMENTS // elements)))


def _sample_axis(two: Use, three: Use) -> int | None:
    """Return the dimension of which there is one more for one more sample, in and out."""
    axes = set()
    for a, b in ((two.inputs, three.inputs), (two.zeros, three.zeros)):
        longer = [i for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if m != n]
        if a.ndim != b.ndim or [(a.shape[i], b.shape[i]) for i in longer] != [(2, 3)]:
            return None
        axes.update(longer)
    return axes.pop() if len(axes) == 1 else None


def forward(
    model: nn.Module, x: Tensor, task_label: int, layers: Iterable[nn.Module]
) -> tuple[Tensor, list[Use]]:
    """Run a network and note the first use of its layers.

    Args:
        model: Its parameters require gradients.
        x: Inputs (N, ...).
        task_label: Which model of a bank.
        layers: Those to watch, of kinds that are covered.

    Returns:
        Logits (N, C), and the uses in the order they came.
    """
    uses: list[Use] = []
    seen: set[Tensor] = set()

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        own = set(layer.parameters(recurse=False))
        inputs, _ = _arguments(*args, **kwargs)
        # A packed sequence is no tensor, and a single sequence has no dimension for samples.
        usual = isinstance(inputs, Tensor) and (
            inputs.ndim == 3 or not isinstance(layer, nn.RNNBase)
        )
        if usual and seen.isdisjoint(own):
            layer.requires_grad_(False)
            seen.update(own)

    def after(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if any(p.requires_grad for p in layer.parameters(recurse=False)):
            return output  # not the first use, or none that can be watched
        layer.requires_grad_(True)
        inputs, state = _arguments(*args, **kwargs)
        if isinstance(layer, nn.RNNBase):
            output, products = unroll(layer, inputs, state)
            for suffix, vectors, zeros in products:
                weight = getattr(layer, f"weight_{suffix}")
                bias = getattr(layer, f"bias_{suffix}", None)
                uses.append(Use(layer, weight, bias, vectors, zeros))
            return output
        zeros = torch.zeros_like(output, requires_grad=True)
        bias = getattr(layer, "bias", None)
        uses.append(Use(layer, layer.weight, bias, inputs.detach(), zeros))
        return output + zeros

    handles: list[RemovableHandle] = []
    try:
        for layer in layers:
            handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            # First of all hooks, so that it sees what the layer itself returns.
            hook = layer.register_forward_hook(after, with_kwargs=True, prepend=True)
            handles.append(hook)
        logits: Tensor = avalanche_forward(model, x, task_label)
        return logits, uses
    finally:
        for handle in handles:
            handle.remove()


def _arguments(input: Any, hx: Any = None) -> tuple[Any, Any]:
    """Sort the arguments of any covered layer, by position or by name."""
    return input, hx


def in_graph(logits: Tensor, parameters: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the parameters whose use, or further use, nobody has noted."""
    if not logits.requires_grad:
        return set()
    found = torch.autograd.grad(
        logits.sum(), list(parameters.values()), retain_graph=True, allow_unused=True
    )
    return {name for name, g in zip(parameters, found, strict=True) if g is not None}


def squared_gradients(
    logits: Tensor, uses: list[Use], axes: Mapping[Tensor, int], vectors: Iterable[Tensor]
) -> dict[Tensor, Tensor]:
    """Sum squared gradients over samples and over factors.

    Args:
        logits: (N, C).
        uses: From the same forward pass.
        axes: The samples' dimension, by weight.
        vectors: v_k (N, C), one backward pass each.

    Returns:
        sum_n sum_k (d (v_nk . logits_n) / d theta)^2 for each weight and bias.
    """
    if not uses or not logits.requires_grad:
        return {}
    sums = [use.squares(axes[use.weight]) for use in uses]
    zeros = [use.zeros for use in uses]
    for vector in vectors:
        gradients = torch.autograd.grad(
            logits, zeros, vector, retain_graph=True, materialize_grads=True
        )
        for use, total, gradient in zip(uses, sums, gradients, strict=True):
            total.add(gradient.movedim(axes[use.weight], 0))
    found: dict[Tensor, Tensor] = {}
    for use, total in zip(uses, sums, strict=True):
        weight, bias = total.sums()
        found[use.weight] = weight.view_as(use.weight)
        if use.bias is not None:
            found[use.bias] = bias.view_as(use.bias)
    return found
