"""Quadratics whose matrices are sums of Kronecker products, and steps that are right for them.

The quadratic of a layer's weight W (outputs, inputs) is, with anchors W_k::

    P(W) = 1/2 sum_k sum(V_k * G_k V_k A_k)    V_k = W - W_k

Its matrix is ``H = sum_k A_k (x) G_k``, which is never formed. The proximal step after one of the
optimizer, from W to W', minimises ``sum((W'' - W')^2 / (2 D)) + strength P(W'')``, where D is the
optimizer's metric (``optimizer_metric.py``), positive and of W's shape. Conjugate gradients solve
for the change X of W::

    (1 / D + strength H) X = -strength dP/dW - (W - W') / D

They start at X = 0. So whatever their accuracy, the training rests where the right side is 0, at
the minimum of loss + penalty, and a step never increases what it minimises.

The preconditioner has R = r c^T, of rank 1, in place of D, and the nearest Kronecker product
A (x) G in place of H, so that it is easily inverted. With r and c in the factors::

    sqrt(r) G sqrt(r) = U g U^T    sqrt(c) A sqrt(c) = V a V^T    S = sqrt(R)
    M Y = (1 / R + s A (x) G) Y    M^-1 Y = S * U [ (U^T (S * Y) V) / (1 + s g a^T) ] V^T

and with ``T = 1 - s M^-1 (A (x) G)`` it is ``T D T^T + s M^-1 (A (x) G) M^-1``, or::

    Y -> Z + M^-1 ((D - R) / R^2 * Z)    with Z = M^-1 Y

So what the penalty leaves free moves as the optimizer's own metric has it, and for D = R and one
product (SGD) it is the solution itself. r and c are fitted anew after 1, 2, 4, ... steps of a
training, since an adaptive metric settles down; outdated ones cost iterations and no accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from palimpsest.strategies.base.grown import extended, fitted
from palimpsest.strategies.curvature.kronecker_products import Product, Spectrum, nearest

_ACCURACY = 0.02
"""How far conjugate gradients go: to this part of the first error, in the norm of the matrix."""

_MOST = 300
"""Iterations of a step at most: the first steps of an adaptive optimizer take some hundred."""

_FITS = 1e-3
"""The largest part by which a metric may differ from one of rank 1 for the latter to stand."""

_STIFFEST = 1e6
"""The largest ratio of strength H to 1 / D: with more, rounding would decide what is free."""


@dataclass
class Quadratic:
    """P of one layer.

    Attributes:
        products: One for each term.
        anchors: W_k, of the weight's shape: one for each term, or one for all.
        iterations: Of conjugate gradients in the latest step.
    """

    products: list[Product]
    anchors: list[Tensor]
    iterations: int = field(default=0, init=False)
    _basis: _Basis | None = field(default=None, init=False)
    _steps: int = field(default=0, init=False)

    def value(self, weight: Tensor) -> Tensor:
        """Return P, a scalar that autograd can follow."""
        terms = zip(self.products, self._away(weight), strict=True)
        return torch.stack([(v * own.times(v)).sum() for own, v in terms]).sum() / 2

    def gradient(self, weight: Tensor) -> Tensor:
        """Return dP/dW."""
        terms = zip(self.products, self._away(weight), strict=True)
        return torch.stack([own.times(v) for own, v in terms]).sum(dim=0)

    def _away(self, weight: Tensor) -> list[Tensor]:
        if len(self.anchors) == 1:
            return [weight - self.anchors[0]] * len(self.products)
        return [weight - anchor for anchor in self.anchors]

    def times(self, change: Tensor) -> Tensor:
        """Return ``H X`` in the shape of the weight."""
        return torch.stack([own.times(change) for own in self.products]).sum(dim=0)

    def fit(self, weight: Tensor) -> None:
        """Extend products and anchors to a weight that has got more outputs, such as a head."""
        size = torch.Size((len(weight), len(weight)))
        for own in self.products:
            own.outputs = fitted(own.outputs, size)
        self.anchors = [extended(anchor, weight) for anchor in self.anchors]

    def forget_basis(self) -> None:
        """Forget what only speeds up steps."""
        self._basis, self._steps = None, 0

    @torch.no_grad()
    def proximal_step(
        self, before: Tensor, after: Tensor, metric: Tensor, strength: float
    ) -> Tensor:
        """Return where the proximal step leads.

        Args:
            before: W, before the optimizer's step.
            after: W', after it.
            metric: D; 0 for what the optimizer does not move, which stays where it is.
            strength: Of the penalty, positive.
        """
        moving = (metric > 0).to(metric)
        if not moving.any():
            return after
        # Beyond 1, the strength enters by D: both stay within the range of single precision.
        share = min(strength, 1.0)
        basis = self._basis_for(metric)
        scale = basis.scale_of(metric)
        factor = min(max(strength, 1.0), _STIFFEST / max(share * scale * basis.largest, 1e-30))
        metric, model = metric * factor, scale * factor * basis.root.square()
        mismatch = (metric - model) / model.square()
        inverse = torch.where(metric > 0, 1 / metric, 0)
        right = moving * ((after - before) * inverse - share * self.gradient(before))

        def times(x: Tensor) -> Tensor:
            return moving * (inverse * x + share * self.times(x))

        def conditioned(y: Tensor) -> Tensor:
            z = basis.solve(y, share, scale * factor)
            return moving * (z + basis.solve(mismatch * z, share, scale * factor))

        change, self.iterations = _conjugate_gradients(times, conditioned, right)
        return torch.where(moving > 0, before + change, after)

    def _basis_for(self, metric: Tensor) -> _Basis:
        """Return the preconditioner, renewed after 1, 2, 4, ... steps if the metric has changed."""
        self._steps += 1
        due = self._steps & (self._steps - 1) == 0
        if self._basis is None or (due and not self._basis.fits(metric)):
            product = nearest(self.products, [1.0] * len(self.products))
            self._basis = _Basis.of(product, metric)
        return self._basis


@dataclass
class _Basis:
    """The preconditioner: the matrix for a metric of rank 1 and a single product.

    Attributes:
        root: S, of the weight's shape.
        spectrum: Of the product, scaled by r and c.
        typical: The geometric mean of the metric that it was made for.
    """

    root: Tensor
    spectrum: Spectrum
    typical: float

    @classmethod
    def of(cls, product: Product, metric: Tensor) -> _Basis:
        """Take for r and c the geometric means of rows and columns of the metric."""
        logs = _logs(metric)
        middle = logs.mean()
        r = (logs.mean(dim=1) - middle / 2).exp().sqrt()
        c = (logs.mean(dim=0) - middle / 2).exp().sqrt()
        scaled = Product(product.inputs * torch.outer(c, c), product.outputs * torch.outer(r, r))
        return cls(torch.outer(r, c), Spectrum.of(scaled), float(middle.exp()))

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.spectrum.values[-1, -1])

    def scale_of(self, metric: Tensor) -> float:
        """Return by how much a metric is larger than the one that this was made for."""
        return float(_logs(metric).mean().exp()) / self.typical

    def solve(self, right: Tensor, share: float, scale: float) -> Tensor:
        """Return ``(1 / (scale r c^T) + share A (x) G)^-1 R``."""
        own = self.spectrum
        turned = own.rows.T @ (self.root * right) @ own.columns
        turned.div_(1 / scale + share * own.values)
        return self.root * (own.rows @ turned @ own.columns.T)

    def fits(self, metric: Tensor) -> bool:
        """Whether a metric is a multiple of r c^T."""
        ratio = metric / (self.scale_of(metric) * self.root.square())
        return bool(((ratio - 1).abs() < _FITS).all())


def _logs(metric: Tensor) -> Tensor:
    return metric.clamp_min(1e-12 * float(metric.max())).log()


def _conjugate_gradients(
    times: Callable[[Tensor], Tensor], conditioned: Callable[[Tensor], Tensor], right: Tensor
) -> tuple[Tensor, int]:
    """Return the solution, from 0, and the number of iterations (Golub & Van Loan, 11.5)."""
    x, left = torch.zeros_like(right), right
    direction = turned = conditioned(left)
    size = float((left * turned).sum())
    enough = _ACCURACY**2 * size
    for iteration in range(_MOST):
        if not size > enough:
            return x, iteration
        applied = times(direction)
        length = size / float((direction * applied).sum())
        x = x + length * direction
        left = left - length * applied
        turned = conditioned(left)
        before, size = size, float((left * turned).sum())
        direction = turned + size / before * direction
    return x, _MOST
