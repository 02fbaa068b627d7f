"""Spaces of architectures, as sequences of decisions; importing this needs no torch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

from palimpsest.benchmark.errors import quoted

if TYPE_CHECKING:
    import numpy as np

Architecture = tuple[int, ...]
"""The number of the option taken at each decision, in the order of the decisions."""


class Space(ABC):
    """Architectures as sequences of decisions that are independent of each other.

    Different architectures may be the same function, such as those of ``micro_cell`` that exchange
    the two inputs of a node; each of them counts.
    """

    def __init__(self, options: Sequence[int]) -> None:
        self.options = tuple(options)

    @property
    def size(self) -> int:
        """The number of architectures: the product of the options."""
        return math.prod(self.options)

    def all(self) -> Iterator[Architecture]:
        """Yield every architecture, in lexicographic order."""
        yield from product(*map(range, self.options))

    def sample(self, generator: np.random.Generator) -> Architecture:
        """Draw an architecture, each with the same probability."""
        drawn: list[int] = generator.integers(self.options).tolist()
        return tuple(drawn)

    def check(self, a: Sequence[int]) -> None:
        """Refuse an architecture that is not in this space.

        Raises:
            ValueError: Names the wrong decision, and the valid ones.
        """
        if len(a) != len(self.options):
            raise ValueError(
                f"architecture {quoted(a)} has {len(a)} decisions; expected {len(self.options)}"
            )
        for place, (taken, count) in enumerate(zip(a, self.options, strict=True)):
            if type(taken) is not int or not 0 <= taken < count:
                raise ValueError(
                    f"architecture {quoted(a)}: decision {place} is {quoted(taken)}; expected a "
                    f"whole number from 0 to {count - 1}"
                )

    def distance(self, a: Architecture, b: Architecture) -> float:
        """Return the share of choices in which two architectures differ, in [0, 1].

        ``d(a, b) = 1 - (choices in common) / (all choices)``, where decisions that mean nothing
        alone are one choice, such as an operation and its input.

        Source: Zhang et al., Overcoming multi-model forgetting in one-shot NAS with diversity
        maximization, CVPR 2020.
        """
        ours, theirs = self.choices(a), self.choices(b)
        return 1 - self.in_common(ours, theirs) / len(ours)

    @staticmethod
    def in_common(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
        """Return the number of choices that two architectures have in common."""
        return sum(one == other for one, other in zip(a, b, strict=True))

    @abstractmethod
    def choices(self, a: Architecture) -> Sequence[Hashable]:
        """Return the choices of an architecture that are compared, as many for each."""

    @abstractmethod
    def text(self, a: Architecture) -> str:
        """Return an architecture as text for readers."""
