"""Kronecker factors by a loop over samples, classes and positions: the slow reference."""

from __future__ import annotations

import copy

import torch
from avalanche.models.utils import avalanche_forward
from torch import nn
from torch.nn import functional


def slow_factors(model, name, x, label=0, y=None):
    """Return A and G of a layer that is used once, with one backward pass a sample and class."""
    model = copy.deepcopy(model).eval()
    layer = model.get_submodule(name)
    seen = {}
    layer.register_forward_hook(lambda _, inputs, output: seen.update(a=inputs[0], h=output))
    big_a, big_g, count = 0, 0, 0
    for n in range(len(x)):
        log_p = avalanche_forward(model, x[n : n + 1], label).log_softmax(dim=-1)[0]
        vectors = places(layer, seen["a"].detach())
        count = len(vectors)
        for a in vectors:
            big_a = big_a + torch.outer(a, a)
        for c in range(len(log_p)):
            weight = log_p[c].exp().item() if y is None else float(y[n] == c)
            (g,) = torch.autograd.grad(log_p[c], seen["h"], retain_graph=True)
            rows = g.flatten(2)[0].T if isinstance(layer, nn.Conv2d) else g.flatten(0, -2)
            for row in rows:
                big_g = big_g + weight * torch.outer(row, row)
    return big_a / len(x), big_g / (len(x) * count)


def places(layer, a):
    """Return the vectors that a layer's weight and bias multiply, one a row."""
    if isinstance(layer, nn.Conv2d):
        a = functional.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)[
            0
        ].T
    else:
        a = a.flatten(0, -2)
    return a if layer.bias is None else torch.cat([a, torch.ones(len(a), 1).to(a)], dim=1)


def dense(a, g):
    """Return the matrix of ``A (x) G`` for a weight (outputs, inputs), flattened."""
    return torch.kron(g, a)
