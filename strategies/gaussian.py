"""Diagonal Gaussians: how far one is from another, and where that pulls it.

With q = N(m, exp(l)) and p = N(m', exp(l')), both diagonal, and d = l - l'::

    KL(q || p) = 1/2 sum( exp(d) - 1 - d + (m - m')^2 exp(-l') )
    d KL / dm  = (m - m') exp(-l')          d KL / dl = (exp(d) - 1) / 2

All of these are 0, to the bit, where q = p.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian with a diagonal covariance.

    Attributes:
        mean: Its mean.
        log_variance: The logarithms of its variances; both have its shape, or one that broadcasts.
    """

    mean: Tensor
    log_variance: Tensor

    def copied(self) -> Gaussian:
        """Return a copy that autograd does not follow."""
        return Gaussian(self.mean.detach().clone(), self.log_variance.detach().clone())


def divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """Return KL(q || p), a scalar that autograd can follow."""
    d = q.log_variance - p.log_variance
    gap = (q.mean - p.mean).square() * torch.exp(-p.log_variance)
    return (torch.expm1(d) - d + gap).sum() / 2


def slopes(q: Gaussian, p: Gaussian) -> tuple[Tensor, Tensor]:
    """Return the gradients of KL(q || p) by the mean and by the log-variance of q."""
    mean = (q.mean - p.mean) * torch.exp(-p.log_variance)
    return mean, torch.expm1(q.log_variance - p.log_variance) / 2


def require_variances(variances: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse posteriors that are none.

    Args:
        variances: Or standard deviations, each with the name of its parameter.

    Raises:
        ValueError: One is not positive, or not finite.
    """
    for name, variance in variances:
        if not bool(((variance > 0) & variance.isfinite()).all()):
            raise damaged(name, "a variance that is not a positive finite number")


def damaged(name: str, what: str) -> ValueError:
    """Return the error that a posterior is none.

    Args:
        name: Of the parameter or the layer.
        what: The posterior has that it cannot have.
    """
    return ValueError(
        f"the posterior of {name} has {what}; what was saved of it is damaged, so that the "
        "training has to begin again"
    )
