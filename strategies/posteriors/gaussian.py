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

from palimpsest.strategies.base.diverged import DivergedError


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


def unsound(variances: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first posterior that is none; ``None``: there is no such.

    Args:
        variances: Or standard deviations, each with the name of its parameter.
    """
    for name, variance in variances:
        if not bool(((variance > 0) & variance.isfinite()).all()):
            return name
    return None


def require_variances(variances: Iterable[tuple[str, Tensor]], diverged: str | None = None) -> None:
    """Refuse posteriors that are none.

    Args:
        variances: See ``unsound``.
        diverged: What ``unsound`` returned at the end of the training before, if it is known.

    Raises:
        DivergedError: One is not positive, or not finite, and was so when its training ended.
        ValueError: One has become so since: what was saved of it is damaged.
    """
    name = unsound(variances)
    if name is not None:
        raise broken(name, "has a variance that is not a positive finite number", diverged)


def broken(name: str, what: str, diverged: str | None = None) -> Exception:
    """Return the error that a posterior is none.

    Args:
        name: Of the parameter or the layer.
        what: Is wrong, as in ``has a precision that is negative``.
        diverged: The name of one that was none when its training ended.
    """
    told = f"the posterior of {name} {what}"
    if name == diverged:
        return DivergedError(
            f"{told} since the training before; a smaller learning rate or strength may help"
        )
    return ValueError(
        f"{told}; what was saved of it is damaged, so that the training has to begin again"
    )
