"""Which of several masks a batch belongs to, inferred without labels.

The weights are multiplied by a superposition of the masks, ``W * sum_i alpha_i M_i``. The right
mask is the one whose larger share makes the network more certain: with the entropy H of the
softmax of the logits, averaged over the inputs, the one with the smallest ``dH/dalpha_i``.

Source: Wortsman et al., Supermasks in Superposition, NeurIPS 2020, section 3.3, and its program,
github.com/RAIVNLab/supsup.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from palimpsest.strategies.base.network import differentiable
from palimpsest.strategies.masks.weight_masks import applied, superposed, unpacked

Packed = Mapping[str, Tensor]
"""A packed mask for each layer, by name."""


def entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy (nats) of the softmax of logits (N, C)."""
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1).mean()


def mixed_statistics(statistics: Sequence[Mapping[str, Tensor]], alpha: Tensor) -> Packed:
    """Return the means of running statistics, weighted by alpha (k,)."""
    return {
        name: torch.tensordot(
            alpha.to(like.device, torch.float64),
            torch.stack([own[name].double() for own in statistics]),
            dims=1,
        ).to(like.dtype)
        for name, like in statistics[0].items()
    }


def entropy_gradient(
    model: nn.Module,
    logits: Callable[[], Tensor],
    masks: Sequence[Packed],
    statistics: Sequence[Mapping[str, Tensor]],
    alpha: Tensor,
) -> Tensor:
    """Return dH/dalpha (k,) of the superposition of k masks.

    Running statistics are the models' means, weighted by alpha, and taken as constants.

    Args:
        model: Has the masked layers, and is in evaluation mode.
        logits: Runs the model on the inputs, and returns (N, C).
        masks: M_i.
        statistics: The running statistics that belong to each, by name.
        alpha: The weights of the masks (k,).
    """
    mixed = {n: own.requires_grad_() for n, own in superposed(model, masks, alpha).items()}
    running = mixed_statistics(statistics, alpha)
    with applied(model, mixed, running), differentiable(model), torch.enable_grad():
        uncertainty = entropy(logits())
        gradients = torch.autograd.grad(uncertainty, [*mixed.values()], allow_unused=True)
    by_layer = {n: g for n, g in zip(mixed, gradients, strict=True) if g is not None}
    shares = [[(g * unpacked(own[n], g)).sum() for n, g in by_layer.items()] for own in masks]
    return torch.stack([torch.stack(own).sum() for own in shares])


def inferred(
    model: nn.Module,
    logits: Callable[[], Tensor],
    masks: Mapping[int, Packed],
    statistics: Mapping[int, Mapping[str, Tensor]],
    *,
    halve: bool,
) -> int:
    """Return the model whose mask inputs belong to; of equal ones the earliest.

    Args:
        model: Has the masked layers, and is in evaluation mode.
        logits: Runs the model on the inputs, and returns (N, C).
        masks: Of each model that has been trained.
        statistics: Its running statistics, by name.
        halve: Look again at the better half until one is left (``binary``), in place of a single
            look.
    """
    left = sorted(masks)
    while len(left) > 1:
        own = [masks[i] for i in left], [statistics[i] for i in left]
        alpha = torch.full((len(left),), 1 / len(left))
        order = entropy_gradient(model, logits, *own, alpha).argsort(stable=True).tolist()
        keep = -(-len(left) // 2) if halve else 1
        left = sorted(left[place] for place in order[:keep])
    return left[0]
