"""What the Laplace approximation keeps besides the quadratics of layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from palimpsest.strategies.base.grown import extended, fitted
from palimpsest.strategies.curvature.kronecker_products import Product, Spectrum, nearest
from palimpsest.strategies.penalty.quadratic import merge
from palimpsest.strategies.posteriors.gaussian import broken

LARGEST = 1e30
"""What a step per unit of gradient is limited to."""

NO_PRECISION = "has a precision that is negative or not finite"


@dataclass
class Diagonal:
    """The diagonal Fisher information of a parameter, with what it is pulled to.

    Attributes:
        importance: The sum of the models' diagonals.
        anchor: What the parameter is pulled to.
        precision: The same sum, each times that model's training samples.
    """

    importance: Tensor
    anchor: Tensor
    precision: Tensor

    def fit(self, value: Tensor) -> None:
        """Extend it to a parameter that has grown, by 0 and by the values it has."""
        self.importance = fitted(self.importance, value.shape)
        self.precision = fitted(self.precision, value.shape)
        self.anchor = extended(self.anchor, value)

    def plus(self, other: Diagonal, *, own_anchors: bool) -> Diagonal:
        """Return it with that of a later model.

        Args:
            other: Of that model.
            own_anchors: Whether each is pulled to its own anchor, and not both to the later one.
        """
        anchor = other.anchor
        if own_anchors:
            _, anchor = merge(self.importance, self.anchor, other.importance, anchor)
        precision = self.precision + other.precision
        return Diagonal(self.importance + other.importance, anchor, precision)

    def value(self, parameter: Tensor) -> Tensor:
        """Return ``1/2 sum F (theta - anchor)^2``, which autograd can follow."""
        return (self.importance * (parameter - self.anchor).square()).sum() / 2

    def gradient(self, parameter: Tensor) -> Tensor:
        """Return its gradient."""
        return self.importance * (parameter - self.anchor)

    def proximal_step_(self, parameter: Tensor, metric: Tensor) -> None:
        """Take the proximal step of the penalty, in place.

        Args:
            parameter: After the optimizer's step.
            metric: How far a step goes per unit of gradient, times the penalty's strength.
        """
        stiff = (metric * self.importance).clamp_(max=LARGEST)
        parameter.lerp_(self.anchor, stiff / (1 + stiff))

    def draw(self, prior: float, noise: Tensor) -> Tensor:
        """Return a draw from N(0, 1 / (precision + prior)), made of standard normal numbers."""
        return noise / (self.precision + prior).sqrt()

    @property
    def is_sound(self) -> bool:
        """Whether samples can have it, which a damaged checkpoint's need not be."""
        own = (self.importance, self.precision)
        return all(bool(((value >= 0) & value.isfinite()).all()) for value in own)


class Spectra:
    """Eigenvectors of the posterior's precision: no state, since they follow from the products."""

    def __init__(self) -> None:
        self._found: dict[str, Spectrum] = {}

    def of(self, name: str, products: list[Product], weights: list[float]) -> Spectrum:
        """Return those of a layer, computed once.

        Raises:
            ValueError: They are none.
        """
        if name not in self._found:
            if not all(product.is_semidefinite for product in products):
                raise broken(name, NO_PRECISION)
            self._found[name] = Spectrum.of(nearest(products, weights))
        return self._found[name]
