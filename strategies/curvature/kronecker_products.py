"""Kronecker products ``A (x) G`` of positive semidefinite matrices: sums, spectra and draws.

A is (inputs, inputs) and G (outputs, outputs); their product is a matrix for changes V of a weight
(outputs, inputs), ``V -> G V A``, and is never formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_ROUNDING = 1e-3
"""How far rounding may take an element above what the diagonal allows, as a share."""


@dataclass
class Product:
    """``A (x) G``, the curvature of a layer's weight (outputs, inputs).

    Attributes:
        inputs: A (inputs, inputs), symmetric and positive semidefinite.
        outputs: G (outputs, outputs), likewise.
    """

    inputs: Tensor
    outputs: Tensor

    @property
    def is_semidefinite(self) -> bool:
        """Whether both factors can be: finite, and no element above what their diagonals allow.

        ``M_ij^2 <= M_ii M_jj`` holds in all positive semidefinite matrices, and shows without their
        eigenvalues.
        """
        return all(map(_can_be_semidefinite, (self.inputs, self.outputs)))

    def times(self, change: Tensor) -> Tensor:
        """Return ``G V A`` for a change V of the weight."""
        return self.outputs @ change @ self.inputs

    def plus(self, other: Product) -> Product:
        """Return the product of the sums of the factors: those of all samples of both."""
        return Product(self.inputs + other.inputs, self.outputs + other.outputs)


def nearest(products: Sequence[Product], weights: Sequence[float]) -> Product:
    """Return the Kronecker product nearest to ``sum_k w_k A_k (x) G_k``, in the Frobenius norm.

    Rearranged, the sum is the matrix ``sum_k w_k vec(A_k) vec(G_k)^T``, of which the first singular
    vectors are wanted; they are sums of the A_k and of the G_k, found from scalar products. All are
    positive semidefinite, so that these products and the sums' coefficients are not negative, and
    the result is positive semidefinite, too. Source: Van Loan & Pitsianis, Approximation with
    Kronecker products, 1993, section 5.

    Args:
        products: At least one, all of the same shape.
        weights: w, positive.
    """
    if len(products) == 1:
        return Product(weights[0] * products[0].inputs, products[0].outputs)
    scale = torch.tensor(weights, dtype=torch.float64)
    left, right = (
        _root_of_gram([getattr(own, side) for own in products]) for side in ("inputs", "outputs")
    )
    u, values, v = torch.linalg.svd(left.T @ (scale[:, None] * right))
    of_inputs = scale * (right @ v[0]).abs()
    of_outputs = scale * (left @ u[:, 0]).abs() / values[0].clamp_min(1e-300)
    # A saturated model has factors of 0, and finds no scale for them.
    of_outputs.clamp_(max=torch.finfo(products[0].outputs.dtype).max)
    return Product(
        _combined([own.inputs for own in products], of_inputs),
        _combined([own.outputs for own in products], of_outputs),
    )


@dataclass(frozen=True)
class Spectrum:
    """``G = U g U^T`` and ``A = V a V^T`` of a product.

    Attributes:
        rows: U (outputs, outputs).
        columns: V (inputs, inputs).
        values: g a^T (outputs, inputs), not negative.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor

    @classmethod
    def of(cls, product: Product) -> Spectrum:
        """Decompose a product."""
        g, rows = _eigen(product.outputs)
        a, columns = _eigen(product.inputs)
        return cls(rows, columns, torch.outer(g.clamp_min(0), a.clamp_min(0)))

    def draw(self, prior: float, noise: Tensor) -> Tensor:
        """Return a draw from N(0, (A (x) G + prior)^-1), of the weight's shape.

        It is ``U (Z / sqrt(g a^T + prior)) V^T``, exact: a matrix normal distribution, but for the
        prior, which is not factored.

        Args:
            prior: Precision, positive.
            noise: Z, standard normal numbers of the weight's shape.
        """
        return self.rows @ (noise / (self.values + prior).sqrt()) @ self.columns.T


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and eigenvectors of a symmetric matrix.

    In single precision the algorithm may not converge where most eigenvalues are 0, as those of the
    inputs of a 3 x 3 convolution over a single pixel. In double precision it does.
    """
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        values, vectors = torch.linalg.eigh(matrix.double())
    return values.to(matrix), vectors.to(matrix)


def _root_of_gram(matrices: Sequence[Tensor]) -> Tensor:
    """Return Q with ``Q Q^T`` the scalar products of matrices, in double precision."""
    gram = torch.stack(
        [torch.stack([(a.double() * b).sum() for b in matrices]) for a in matrices]
    ).cpu()
    values, vectors = torch.linalg.eigh(gram)
    root: Tensor = vectors * values.clamp_min(0).sqrt()
    return root


def _can_be_semidefinite(matrix: Tensor) -> bool:
    diagonal = matrix.diagonal()
    if not bool(matrix.isfinite().all() and (diagonal >= 0).all()):
        return False
    root = diagonal.sqrt()
    largest = torch.outer(root, root) * (1 + _ROUNDING) + _ROUNDING * root.square().mean()
    return bool((matrix.abs() <= largest).all())


def _combined(matrices: Sequence[Tensor], weights: Tensor) -> Tensor:
    total = torch.zeros_like(matrices[0])
    for matrix, weight in zip(matrices, weights.tolist(), strict=True):
        total.add_(matrix, alpha=weight)
    return total
