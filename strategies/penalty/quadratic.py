"""The arithmetic of every importance-weighted penalty, over plain lists of tensors.

The penalty is ``P(theta) = strength/2 * sum_i I_i (theta_i - a_i)^2`` with importance
``I_i >= 0`` and anchor ``a_i``. All functions work element by element on lists of tensors of equal
shapes, and know nothing of models, plugins or Avalanche.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def penalty(
    parameters: list[Tensor],
    anchors: list[Tensor],
    importances: list[Tensor],
    strength: float,
) -> Tensor:
    """Return ``strength/2 * sum_i I_i (theta_i - a_i)^2`` as a scalar that autograd can follow."""
    terms = [
        (importance * (parameter - anchor).square()).sum()
        for parameter, anchor, importance in zip(parameters, anchors, importances, strict=True)
    ]
    return strength / 2 * torch.stack(terms).sum()


@torch.no_grad()
def add_gradient_(
    gradients: list[Tensor],
    parameters: list[Tensor],
    anchors: list[Tensor],
    importances: list[Tensor],
    strength: float,
) -> None:
    """Add the penalty's gradient, ``strength * I_i (theta_i - a_i)``, to ``gradients`` in place.

    Analytic, because a second pass through autograd would double the cost of a step.
    """
    distances = torch._foreach_sub(parameters, anchors)
    torch._foreach_addcmul_(gradients, distances, importances, value=strength)


@torch.no_grad()
def stiffness(importance: Tensor, scale: float) -> Tensor:
    """Return ``k = scale * I``, finite at every scale.

    Args:
        importance: ``I``, non-negative.
        scale: Strength times the optimizer's rate, see ``optimizer_metric.py``.

    Returns:
        k, of the shape and type of ``importance``.
    """
    largest = torch.finfo(importance.dtype).max / 4  # so that sums of two are finite
    k = (importance.double() * min(scale, 1e300)).clamp_(max=largest)
    return k.to(importance.dtype)


@torch.no_grad()
def pull(importance: Tensor, scale: float) -> Tensor:
    """Return how far the proximal step moves a parameter towards its anchor.

    ``w = c / (1 + c)`` with ``c = scale * I``, in [0, 1]; computed in double precision, so that
    it is finite for every scale and exactly 0 where the importance is 0.

    Args:
        importance: ``I``, non-negative.
        scale: Strength times the optimizer's rate.

    Returns:
        ``w``, of the shape and type of ``importance``.
    """
    c = (importance.double() * scale).clamp_(max=1e300)
    return (c / (1 + c)).to(importance.dtype)


@torch.no_grad()
def proximal_step_(parameters: list[Tensor], anchors: list[Tensor], pulls: list[Tensor]) -> None:
    """Move every parameter to the minimiser of the penalty plus the step just taken.

    ``theta <- (theta + c a) / (1 + c) = theta + w (a - theta)`` in place, ``c = s strength I``,
    which minimises ``(theta' - theta)^2 / (2 s) + P(theta')`` with s the optimizer's step for a
    unit of gradient: stable at every strength, the anchor itself in the limit. Source: the
    proximal operator of a quadratic, Parikh & Boyd, Proximal Algorithms, 2014, section 6.1.1.
    """
    torch._foreach_lerp_(parameters, anchors, pulls)


@torch.no_grad()
def merge(
    importance: Tensor, anchor: Tensor, new_importance: Tensor, new_anchor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return one quadratic equal to the sum of two, up to a constant.

    ``I (t-a)^2 + I' (t-a')^2 = (I+I') (t - (I a + I' a') / (I+I'))^2 + const``, so that memory
    and time do not grow with the number of models. If both importances are 0, the new anchor is
    used.
    """
    total = importance + new_importance
    share = torch.where(total > 0, new_importance / total, torch.ones_like(total))
    return total, torch.lerp(anchor, new_anchor, share)


@torch.no_grad()
def mean_importance(importances: Iterable[Tensor]) -> float:
    """Return the mean of all elements of some importances; 1 if there are none, or all are 0."""
    listed = list(importances)
    if not listed:
        return 1.0
    total = torch.stack([importance.sum(dtype=torch.float64) for importance in listed]).sum()
    return float(total) / sum(importance.numel() for importance in listed) or 1.0
