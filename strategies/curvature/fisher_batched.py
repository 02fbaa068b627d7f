"""The square of mini-batches' mean gradients, often used in place of the Fisher information."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    requiring_gradients,
)


def batched_fisher(
    network: Network, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor, batch: int
) -> dict[str, Tensor]:
    """Average the squared mean gradient over mini-batches, with the true labels.

    ``F_i = 1/M sum_m (1/|B_m| sum_(n in B_m) d log p(y_n | x_n) / d theta_i)^2``. It is no Fisher
    information: the samples' gradients partly cancel before they are squared, so that it shrinks
    with the batch size. It is here because many programs compute it.

    Source: van de Ven, On the computation of the Fisher information in continual learning, ICLR
    Blogposts 2025, "BATCHED".

    Args:
        network: Evaluated without dropout and with running statistics.
        parameters: Those wanted, by name.
        x: Inputs (N, ...), in the order in which they are divided into batches.
        y: True labels (N,).
        batch: Samples of a mini-batch; the last one may have fewer.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.
    """
    total = {name: torch.zeros_like(value.detach()) for name, value in parameters.items()}
    batches = list(zip(torch.split(x, batch), torch.split(y, batch), strict=True))
    model = network.model
    with evaluation_mode(model), requiring_gradients(model), differentiable(model):
        for inputs, labels in batches:
            with torch.enable_grad():
                loss = functional.cross_entropy(network(inputs), labels)
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    total[name].addcmul_(gradient, gradient, value=1 / len(batches))
    return total
