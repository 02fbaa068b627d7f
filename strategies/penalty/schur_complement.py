"""The penalty of several models on their shared parameters, solved in the space of their outputs.

Let G_a = [S_a, W_a] be the root of model a's Gauss-Newton matrix (``gauss_newton.py``), divided
into columns of shared and of private parameters. The smallest cost of a step v of the shared
parameters, while the private ones w follow, is given by the Schur complement::

    v^T Omega_a v = min_w |S_a v + W_a w|^2 + damping |w|^2
    Omega_a = S_a^T M_a^-1 S_a,    M_a = 1 + W_a W_a^T / damping

by the matrix inversion lemma; M_a = 1 if the private parameters stay as they are. Stack S of
all models' S_a and M of their M_a, and let D be the diagonal matrix of the optimizer's metric
(``optimizer_metric.py``). The minimiser of ``1/2 (theta - theta')^T D^-1 (theta - theta') +
strength/2 sum_a v_a^T Omega_a v_a``, with v_a the distance of theta from model a's anchor, is::

    theta = theta' - D S^T (M / strength + S D S^T)^-1 r,    r = stack_a S_a v_a(theta')

and one basis solves it for all strengths and scales of D: Q with ``Q^T M Q = 1`` and ``Q^T S D
S^T Q = diag(lambda)`` (Golub & Van Loan, Matrix Computations, section 8.7). With the eigenvectors
of ``S D S^T = V Lambda V^T`` for eigenvalues other than 0::

    V^T M^-1 V = L L^T,    L^T Lambda L = U diag(lambda) U^T,    Q = M^-1 V L^-T U
    theta = theta' - D S^T Q diag(1 / (1 / strength + lambda)) Q^T r

If D changes only by a factor, as with SGD, a step is a product with S, two with Q and one with S^T,
at every strength and without iteration.

With an adaptive optimizer D changes in every step. Its minimiser is of the same form, ``theta =
theta' - D S^T Q z``, since the span of Q does not depend on D; conjugate gradients find z of::

    (1 / strength + Q^T S D S^T Q) z = Q^T r

starting from the last step's z, with ``1 / strength + scale * lambda`` of the basis's own D as
preconditioner. When they have cost as much as a basis, the basis is recomputed.

Conjugate gradients on the parameters would need no K x K matrix, but more iterations: with 200
samples of MNIST some 20 per step at strength 1e2, 150 at 1e4 and more than 400 at 1e6, for two
digits, even if D is constant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.curvature.gauss_newton import GaussNewtonRoot

Metric = Sequence[Tensor | float]
"""The diagonal of D, parameter by parameter."""

_MOST = 4
"""Largest number of iterations per dimension; exact arithmetic would need one, rounding needs
more."""


@dataclass
class ModelTerm:
    """One earlier model's part of the penalty.

    Attributes:
        positions: The parameters it shares, as positions in the list of all.
        anchors: Their values when the model was trained; a parameter may have grown since.
        shared: S_a, the root's columns of these parameters.
        private: W_a, or ``None`` if the private parameters stay or there are none.
    """

    positions: list[int]
    anchors: list[Tensor]
    shared: GaussNewtonRoot
    private: GaussNewtonRoot | None

    def product(self, directions: Sequence[Tensor]) -> Tensor:
        """Return S_a v, given v for all parameters in their current shapes."""
        own = zip(self.positions, self.anchors, strict=True)
        return self.shared.product([fitted(directions[i], anchor.shape) for i, anchor in own])

    def residual(self, parameters: Sequence[Tensor]) -> Tensor:
        """Return S_a v with v the distance of all parameters from their anchors."""
        own = zip(self.positions, self.anchors, strict=True)
        away = [fitted(parameters[i], anchor.shape) - anchor for i, anchor in own]
        return self.shared.product(away)

    def add_transposed_product_(self, totals: Sequence[Tensor], vector: Tensor) -> None:
        """Add S_a^T u to the totals for all parameters."""
        gradients = self.shared.transposed_product(vector)
        for i, gradient in zip(self.positions, gradients, strict=True):
            totals[i].add_(fitted(gradient, totals[i].shape))


@dataclass
class SchurPenalty:
    """``1/2 sum_a v_a^T Omega_a v_a`` over a list of parameters.

    Attributes:
        parameters: The penalised parameters. Their values may change, their shapes may not.
        terms: One for each earlier model, each with at least one parameter.
        metric: The D that the basis is for: for each parameter a number, or a tensor of its shape.
        damping: Added to the diagonal of the private parameters' block, positive.
        basis: Q of shape (K, rank).
        values: lambda (rank,), in double precision.
        iterations: Iterations of conjugate gradients so far; each costs as much as a row of the
            basis.
    """

    parameters: list[Tensor]
    terms: list[ModelTerm]
    metric: Metric
    damping: float
    basis: Tensor = field(init=False)
    values: Tensor = field(init=False)
    iterations: int = field(init=False, default=0)
    _last: Tensor | None = field(init=False, default=None)

    @torch.no_grad()
    def __post_init__(self) -> None:
        """Find the basis."""
        gram = self._gram()
        values, vectors = torch.linalg.eigh(_symmetric(gram))
        kept = values > _rounding(gram)  # the others change outputs by less than rounding
        values, vectors = values[kept], vectors[:, kept]
        parts = torch.split(vectors, [term.shared.rows for term in self.terms])
        pairs = zip(self.terms, parts, strict=True)
        solved = torch.cat([_solve(term, self.damping, part) for term, part in pairs])
        root = torch.linalg.cholesky(vectors.T @ solved)
        self.values, turned = torch.linalg.eigh(root.T @ (values[:, None] * root))
        self.basis = (solved @ torch.linalg.solve_triangular(root.T, turned, upper=True)).to(gram)

    @classmethod
    def resumed(
        cls,
        parameters: list[Tensor],
        terms: list[ModelTerm],
        damping: float,
        solution: Mapping[str, Any],
    ) -> Self:
        """Return the penalty that a solution is from.

        Args:
            parameters: Those of that penalty, as they are now.
            terms: Its terms, built again.
            damping: As it was.
            solution: What ``solution`` returned.
        """
        penalty = object.__new__(cls)
        own = {"parameters": parameters, "terms": terms, "damping": damping}
        vars(penalty).update(own, **solution)
        return penalty

    def solution(self) -> dict[str, Any]:
        """Return all that has been computed since it was made, for ``resumed``."""
        computed = ("metric", "basis", "values", "iterations", "_last")
        return {name: getattr(self, name) for name in computed}

    def value(self) -> Tensor:
        """Return ``1/2 sum_a v_a^T Omega_a v_a``, a scalar that autograd can follow."""
        return (self.basis.T @ self._residual()).square().sum() / 2

    @torch.no_grad()
    def gradient(self) -> list[Tensor]:
        """Return ``sum_a Omega_a v_a`` for each parameter."""
        return self._transposed(self.basis @ (self.basis.T @ self._residual()))

    @property
    def outdated(self) -> bool:
        """Whether a basis for the current D would have cost less than the iterations so far."""
        return self.iterations > len(self.basis)

    @torch.no_grad()
    def proximal_step_(self, strength: float, metric: Metric) -> list[Tensor]:
        """Move the parameters to the minimiser of the penalty plus the step just taken.

        Args:
            strength: Positive.
            metric: D. Numbers must be a multiple of those that the basis is for.

        Returns:
            The penalty's gradient there, strength included: the move is D times it.
        """
        right = self.basis.T @ self._residual()
        scale = _total(metric, self.parameters) / _total(self.metric, self.parameters)
        inverse = (1 / (1 / strength + scale * self.values)).to(right)
        solution = inverse * right
        if any(isinstance(own, Tensor) for own in metric):
            solution = self._iterate(strength, metric, right, inverse)
        moves = self._transposed(self.basis @ solution)
        for parameter, own, move in zip(self.parameters, metric, moves, strict=True):
            parameter.sub_(own * move)
        return moves

    def _iterate(self, strength: float, metric: Metric, right: Tensor, inverse: Tensor) -> Tensor:
        """Solve for z by preconditioned conjugate gradients (Golub & Van Loan, section 11.5)."""

        def product(z: Tensor) -> Tensor:
            moved = self._transposed(self.basis @ z)
            scaled = [own * move for own, move in zip(metric, moved, strict=True)]
            outputs = torch.cat([term.product(scaled) for term in self.terms])
            return z / strength + self.basis.T @ outputs

        z = torch.zeros_like(right) if self._last is None else self._last
        left = right - product(z) if self._last is not None else right.clone()
        enough = torch.finfo(right.dtype).eps * float(right @ (inverse * right)) / 25
        direction = conditioned = inverse * left
        size = float(left @ conditioned)
        for _ in range(_MOST * len(right)):
            if size <= enough:
                break
            applied = product(direction)
            length = size / float(direction @ applied)
            z = z + length * direction
            left = left - length * applied
            conditioned = inverse * left
            before, size = size, float(left @ conditioned)
            direction = conditioned + size / before * direction
            self.iterations += 1
        self._last = z
        return z

    def _residual(self) -> Tensor:
        """Return r (K,)."""
        return torch.cat([term.residual(self.parameters) for term in self.terms])

    def _transposed(self, vector: Tensor) -> list[Tensor]:
        """Return S^T u of the parameters' shapes."""
        totals = [torch.zeros_like(parameter) for parameter in self.parameters]
        parts = torch.split(vector, [term.shared.rows for term in self.terms])
        for term, part in zip(self.terms, parts, strict=True):
            term.add_transposed_product_(totals, part)
        return totals

    def _gram(self) -> Tensor:
        """Return S D S^T (K, K), computed a row at a time to use no more memory than its result."""
        rows = []
        for term in self.terms:
            for unit in torch.eye(term.shared.rows).to(term.anchors[0]):
                row = [torch.zeros_like(parameter) for parameter in self.parameters]
                term.add_transposed_product_(row, unit)
                scaled = [part * own for part, own in zip(row, self.metric, strict=True)]
                rows.append(torch.cat([other.product(scaled) for other in self.terms]))
        return torch.stack(rows)


def _solve(term: ModelTerm, damping: float, right: Tensor) -> Tensor:
    """Return ``M_a^-1 right``, in double precision."""
    private = term.private
    if private is None:
        return right
    units = torch.eye(private.rows).to(term.anchors[0])
    gram = torch.stack([private.product(private.transposed_product(unit)) for unit in units])
    matrix = units.double() + _symmetric(gram) / max(damping, _rounding(gram))
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix))


def _total(metric: Metric, parameters: Sequence[Tensor]) -> float:
    """Return the trace of D."""
    pairs = zip(metric, parameters, strict=True)
    return sum(float(d.sum()) if isinstance(d, Tensor) else d * p.numel() for d, p in pairs)


def _rounding(gram: Tensor) -> float:
    """Return the largest value that rounding makes indistinguishable from 0 in a Gram matrix."""
    return 10 * torch.finfo(gram.dtype).eps * float(gram.norm())


def _symmetric(matrix: Tensor) -> Tensor:
    exact = matrix.double()
    return (exact + exact.T) / 2
