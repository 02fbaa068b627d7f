"""Sums over samples of a function of each sample's gradients, for any parameters, by autograd."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap

from palimpsest.strategies.base.network import Network, replaced_forward
from palimpsest.strategies.curvature.per_sample.layers import covers, precise
from palimpsest.strategies.curvature.per_sample.recurrent import unroll
from palimpsest.strategies.curvature.per_sample.uses import by_vmap

_CHUNK_ELEMENTS = 2**22
"""Elements of per-sample gradients held at once; more do not fit into the processor's cache."""

Measure = Callable[[Tensor], Tensor]
"""The function of gradients that is summed, element by element: squares or absolute values."""


@torch.no_grad()
def together(
    network: Network, values: Mapping[str, Tensor], x: Tensor, vectors: Tensor, measure: Measure
) -> dict[str, Tensor]:
    """Differentiate many samples at once, each by itself.

    Args:
        network: Returns logits (N, C).
        values: The parameters to differentiate by, by name.
        x: Inputs (N, ...).
        vectors: v_nk (N, K, C).
        measure: What is summed.

    Returns:
        sum_n sum_k measure(d (v_nk . logits_n) / d theta), by name.

    Raises:
        RuntimeError: The network does what vmap cannot follow.
    """
    constants = {name: value.detach() for name, value in values.items()}
    recurrent = [m for m in network.model.modules() if isinstance(m, nn.RNNBase) and covers(m)]

    def of_sample(sample: Tensor, v: Tensor) -> dict[str, Tensor]:
        def logits(theta: dict[str, Tensor]) -> Tensor:
            return replace(network, state=theta).of_one(sample)

        linearised: Any = vjp(logits, constants)
        output, backward = linearised
        # One by one: vmap within vmap gives wrong gradients for nn.PReLU (torch 2.15).
        total = {name: precise(torch.zeros_like(value)) for name, value in constants.items()}
        for v_k in v.to(output.dtype):
            (found,) = backward(v_k)
            total = {name: total[name] + measure(precise(g)) for name, g in found.items()}
        return total

    sums = {name: precise(torch.zeros_like(value)) for name, value in constants.items()}
    chunk = _CHUNK_ELEMENTS // max(1, sum(value.numel() for value in constants.values()))
    parts = zip(*(torch.split(t, max(1, chunk)) for t in (x, vectors)), strict=True)
    with by_vmap(), replaced_forward(recurrent, _unrolled):
        for samples, own in parts:
            for name, values_of in vmap(of_sample)(samples, own).items():
                sums[name] += values_of.sum(dim=0)
    return sums


def _unrolled(layer: nn.RNNBase, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a recurrent layer returns; vmap cannot batch torch's own implementation."""
    return unroll(layer, *args, **kwargs)[0]


def in_turn(
    network: Network,
    values: Mapping[str, Tensor],
    x: Tensor,
    vectors: Callable[[Tensor, int], Iterable[Tensor]],
    measure: Measure,
) -> dict[str, Tensor]:
    """Differentiate one sample after the other: slow, but right for everything that can be trained.

    Args:
        network: Returns logits (N, C); its parameters require gradients.
        values: Those of its parameters to differentiate by, by name.
        x: Inputs (N, ...).
        vectors: Given logits (1, C) and the sample's number, returns its v_k (1, C).
        measure: What is summed.

    Returns:
        sum_n sum_k measure(d (v_nk . logits_n) / d theta), by name.
    """
    sums = {name: precise(torch.zeros_like(value.detach())) for name, value in values.items()}
    for n, sample in enumerate(x):
        own = network.of_one(sample)
        for v in vectors(own.detach()[None], n) if own.requires_grad else ():
            found = gradients(network.model, own, list(values.values()), v[0])
            for name, g in zip(values, found, strict=True):
                if g is not None:
                    sums[name] += measure(precise(g))
    return sums


def gradients(
    model: nn.Module, output: Tensor, leaves: Sequence[Tensor], vector: Tensor
) -> list[Tensor | None]:
    """Return the dense gradients of ``vector . output``; ``None`` for leaves it does not use.

    Args:
        model: The model that computed the output.
        output: Logits (C,); their graph is retained.
        leaves: Some of the model's parameters.
        vector: (C,).
    """
    start = vector.to(output)
    found: Sequence[Tensor | None]
    try:
        found = torch.autograd.grad(output, leaves, start, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        # Reentrant activation checkpoints only support gradients that accumulate in parameters.
        if "checkpoint" not in str(error):
            raise
        before = {parameter: parameter.grad for parameter in model.parameters()}
        for parameter in before:
            parameter.grad = None
        try:
            torch.autograd.backward(output, start, retain_graph=True)
            found = [leaf.grad for leaf in leaves]
        finally:
            for parameter, gradient in before.items():
                parameter.grad = gradient
    return [g.to_dense() if g is not None and g.is_sparse else g for g in found]
