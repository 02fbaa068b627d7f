"""Sums of squared per-sample gradients of any parameters, by autograd: slow, but always right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from avalanche.models.utils import is_multi_task_module
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from strategies.fisher_factors import factors

_CHUNK_ELEMENTS = 2**22
"""Elements of per-sample gradients held at once; more leaves the processor's cache."""


@torch.no_grad()
def squared_gradients(
    model: nn.Module,
    values: Mapping[str, Tensor],
    x: Tensor,
    p: Tensor,
    y: Tensor | None,
    task_label: int,
) -> dict[str, Tensor]:
    """Sum squared gradients over samples and over factors.

    Args:
        model: Returns logits (N, C).
        values: The parameters to differentiate by, by name.
        x: Inputs (N, ...).
        p: Probabilities (N, C).
        y: Labels (N,), or none for the expectation over them, see ``fisher_factors.py``.
        task_label: Which model of a bank.

    Returns:
        sum_n sum_k (d (v_nk . logits_n) / d theta)^2, by name.
    """
    label = (task_label,) if is_multi_task_module(model) else ()
    constants = {name: value.detach() for name, value in values.items()}

    def logits(theta: dict[str, Tensor], sample: Tensor) -> Tensor:
        found: Tensor = functional_call(model, theta, (sample[None], *label))
        return found[0]

    def together(samples: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        def of_sample(sample: Tensor, v: Tensor) -> dict[str, Tensor]:
            backward: Callable[[Tensor], Any] = vjp(lambda t: logits(t, sample), constants)[1]
            (gradients,) = vmap(backward)(v)
            return {name: g.square().sum(dim=0) for name, g in gradients.items()}

        squares = vmap(of_sample)(samples, vectors)
        return {name: value.sum(dim=0) for name, value in squares.items()}

    @torch.enable_grad()
    def in_turn(samples: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        sums = {name: torch.zeros_like(value) for name, value in constants.items()}
        leaves = {name: value.detach().requires_grad_() for name, value in constants.items()}
        for sample, v in zip(samples, vectors, strict=True):
            output = logits(leaves, sample)
            for v_k in v:
                gradients = torch.autograd.grad(
                    output, list(leaves.values()), v_k, retain_graph=True, materialize_grads=True
                )
                for total, g in zip(sums.values(), gradients, strict=True):
                    total.addcmul_(g, g)
        return sums

    # torch cannot batch over recurrent layers.
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    compute = in_turn if recurrent else together
    sums = {name: torch.zeros_like(value) for name, value in constants.items()}
    passes = 1 if y is not None else p.shape[-1] - 1
    if passes == 0:
        return sums  # a single class tells nothing
    chunk = max(1, _CHUNK_ELEMENTS // (passes * sum(v.numel() for v in constants.values())))
    for start in range(0, len(x), chunk):
        part = slice(start, start + chunk)
        vectors = torch.stack(list(factors(p[part], None if y is None else y[part])), dim=1)
        for name, value in compute(x[part], vectors).items():
            sums[name] += value
    return sums
