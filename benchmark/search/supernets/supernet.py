"""The base class of supernets: runs an architecture, and knows the parameters that it uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from palimpsest.benchmark.search.supernets.space import Architecture, Space

__all__ = ["Architecture", "Space", "Supernet"]


class Supernet(nn.Module, ABC):
    """A network of which each architecture uses some parts; architectures share parts.

    Parts that belong to a choice are in ``choices``, a ``ModuleDict``; every architecture uses all
    others.

    Attributes:
        space: Its architectures.
        n_classes: Columns of its logits.
        choices: The modules that only some architectures use, by name.
    """

    def __init__(self, space: Space, n_classes: int) -> None:
        super().__init__()
        self.space = space
        self.n_classes = n_classes
        self.choices = nn.ModuleDict()

    @abstractmethod
    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return the logits of an architecture: (N, classes), or (N, L, words) of text."""

    @abstractmethod
    def chosen(self, architecture: Architecture) -> Iterable[str]:
        """Return the names in ``choices`` of all modules on which the logits depend."""

    def edges(self) -> frozenset[str]:
        """Return the names of the parameters that belong to a choice."""
        return frozenset(f"choices.{name}" for name, _ in self.choices.named_parameters())

    def used(self, architecture: Architecture) -> frozenset[str]:
        """Return the names of the parameters that have a gradient when an architecture is trained.

        Raises:
            ValueError: It is not in the space.
        """
        self.space.check(architecture)
        everywhere = {name for name, _ in self.named_parameters()} - self.edges()
        own = (
            f"choices.{module}.{name}"
            for module in self.chosen(architecture)
            for name, _ in self.choices[module].named_parameters()
        )
        return frozenset({*everywhere, *own})
