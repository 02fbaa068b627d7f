"""Slow references of curvature: dense matrices, and loops over samples and classes."""

from __future__ import annotations

import copy

import torch
from avalanche.models.utils import avalanche_forward
from torch import nn
from torch.nn import functional


@torch.enable_grad()
def dense_fisher(model, names, x, label=0):
    """Return H of the named parameters, one backward pass a sample and class."""
    model = copy.deepcopy(model).eval()
    own = [model.get_parameter(name).requires_grad_() for name in names]
    total = 0
    for n in range(len(x)):
        logits = avalanche_forward(model, x[n : n + 1], label)[0]
        rows = []
        for logit in logits:
            gradients = torch.autograd.grad(logit, own, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([g.flatten() for g in gradients]))
        jacobian, p = torch.stack(rows), logits.softmax(-1).detach()
        total = total + jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
    return total / len(x)


def dense_omega(model, shared, private, x, label=0, *, damping):
    """Return the Schur complement, by a dense inverse."""
    h = dense_fisher(model, [*shared, *private], x, label)
    k = sum(model.get_parameter(name).numel() for name in shared)
    h_11 = h[k:, k:] + damping * torch.eye(len(h) - k).to(h)
    return h[:k, :k] - h[:k, k:] @ torch.linalg.solve(h_11, h[k:, :k])


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


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


def slow_sensitivity(model, names, x, label=0):
    """Return the mean absolute gradient of the squared norm of the outputs, in a plain loop."""
    model = copy.deepcopy(model).eval()
    chosen = [model.get_parameter(name).requires_grad_() for name in names]
    totals = [torch.zeros_like(p) for p in chosen]
    for sample in x:
        norm = (avalanche_forward(model, sample[None], label) ** 2).sum()
        gradients = torch.autograd.grad(norm, chosen, materialize_grads=True)
        for total, gradient in zip(totals, gradients, strict=True):
            total += gradient.abs()
    return {name: total.detach() / len(x) for name, total in zip(names, totals, strict=True)}
