"""The Fisher information as a dense matrix: the slow reference of everything with ``Schur``."""

from __future__ import annotations

import copy

import torch
from avalanche.models.utils import avalanche_forward


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
