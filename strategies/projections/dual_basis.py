"""A subspace of a layer's inputs that only grows, by a basis of it or of its complement (DualGPM).

With C (width, width) a covariance of inputs and M (width, k) an orthonormal basis of the kept
subspace, the subspace grows as in GPM with C in place of the inputs::

    C' = (I - M M^T) C        M <- [M, u_1 .. u_r],   r the smallest with
    sum_{i > r} s_i^2 <= (1 - energy) sum_ij C_ij^2

where u_i and s_i are the left singular vectors and singular values of C'. What is stored is a basis
of the subspace while that has at most half of the dimensions, and of its complement from then on:
never more than half a square.

Sources: Liang & Li, Adaptive Plasticity Improvement for Continual Learning, CVPR 2023 (DualGPM);
Liang & Li, InfLoRA, CVPR 2024, and its program, github.com/liangyanshuo/InfLoRA. That one stores
the wrong half where the first model needs more than half of the dimensions; here it is the
complement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

_ROUNDING = 1e-12
"""A direction with less of the covariance than this share is taken to have none."""


@dataclass(frozen=True)
class DualBasis:
    """A kept subspace M of the inputs of a layer.

    Attributes:
        columns: An orthonormal basis, of shape (width, k).
        spans: What that is a basis of. 'kept': M (the published state ``remove``). 'free': the
            complement of M (``retain``).
    """

    columns: Tensor
    spans: Literal["kept", "free"] = "kept"

    @classmethod
    def of_nothing(cls, width: int, like: Tensor) -> DualBasis:
        """Return the subspace of dimension 0.

        Args:
            width: Inputs of the layer.
            like: A tensor of the type and on the device that the basis is to have.
        """
        return cls(like.new_zeros(width, 0))

    @property
    def dimension(self) -> int:
        """The dimension of M."""
        width, count = self.columns.shape
        return count if self.spans == "kept" else width - count

    def kept(self) -> Tensor:
        """Return an orthonormal basis of M, (width, dimension), in double precision."""
        return self._basis("kept")

    def free(self) -> Tensor:
        """Return an orthonormal basis of the complement of M, in double precision."""
        return self._basis("free")

    def directions(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the eigenvectors of ``(I - M M^T) C (I - M M^T)`` across M, leading ones first.

        Args:
            covariance: C, (width, width), in double precision.

        Returns:
            The eigenvalues, (free,), exactly 0 where they are rounding; and the eigenvectors,
            (width, free), orthonormal.
        """
        free = self.free()
        values, vectors = torch.linalg.eigh(free.T @ covariance @ free)
        return _without_rounding(values.flip(0), covariance), free @ vectors.flip(1)

    def grown(self, covariance: Tensor, energy: float) -> DualBasis:
        """Return the subspace with the directions that the energy needs.

        Args:
            covariance: C, (width, width), in double precision.
            energy: The share of the energy that M is to have, from 0 to 1.

        Returns:
            It contains M; its type is that of ``covariance``.
        """
        free = self.free()
        vectors, values, _ = torch.linalg.svd(free.T @ covariance, full_matrices=False)
        energies = _without_rounding(values, covariance).square()
        left = energies.flip(0).cumsum(0).flip(0)
        allowed = (1 - energy) * covariance.square().sum() * (1 + _ROUNDING)
        count = int((left > allowed).sum())
        new, rest = (free @ vectors).tensor_split([count], dim=1)
        if self.spans == "free" or 2 * (self.dimension + count) > len(covariance):
            return DualBasis(rest, "free")
        columns = torch.cat([self.columns.double(), new], dim=1)
        return DualBasis(torch.linalg.qr(columns)[0])

    def to(self, dtype: torch.dtype) -> DualBasis:
        """Return it in another floating-point type."""
        return replace(self, columns=self.columns.to(dtype))

    def _basis(self, of: str) -> Tensor:
        count = self.columns.shape[1]
        # Made orthonormal again, so that roundings do not add up over models.
        whole: Tensor = torch.linalg.qr(self.columns.double(), mode="complete")[0]
        return whole[:, :count] if self.spans == of else whole[:, count:]


def _without_rounding(values: Tensor, covariance: Tensor) -> Tensor:
    """Set to 0 what is so small beside the covariance that it is none."""
    found: Tensor = values * (values > _ROUNDING * covariance.norm())
    return found
