"""What strategies for architecture searches may ask of a model: a supernet and its architectures.

An architecture is a tuple of options, one for each decision. Each model, by its task label, stands
for one architecture at a time.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn


@runtime_checkable
class Searchable(Protocol):
    """A model bank whose models are architectures of one supernet."""

    def architecture_of(self, label: int) -> tuple[int, ...]:
        """Return the architecture that a task label stands for now."""

    def run(self, x: Tensor, architecture: tuple[int, ...]) -> Tensor:
        """Return the outputs of an architecture, whether it is a model of the bank or not."""

    def distance(self, a: tuple[int, ...], b: tuple[int, ...]) -> float:
        """Return how much two architectures differ, from 0 (equal) to 1."""

    def sample_architecture(self, generator: np.random.Generator) -> tuple[int, ...]:
        """Draw one of all architectures, each equally likely."""


@runtime_checkable
class HasOptions(Protocol):
    """A supernet whose decisions are independent: every combination is an architecture."""

    def options(self) -> tuple[int, ...]:
        """Return how many options each decision has."""


@runtime_checkable
class HasEdges(Protocol):
    """A model some of whose parameters belong to a choice, and so to some architectures alone."""

    def edges(self) -> frozenset[str]:
        """Return the names of these parameters, as ``named_parameters`` has them."""


class NoArchitecturesError(ValueError):
    """A strategy for architecture searches was given a model that is no supernet."""


def searchable(model: nn.Module, method: str) -> Searchable:
    """Return a model as a supernet.

    Args:
        model: What is trained.
        method: The name of the strategy, for messages.

    Raises:
        NoArchitecturesError: It is none.
    """
    if not isinstance(model, Searchable):
        raise NoArchitecturesError(
            f"{method} needs the architectures of a supernet, and {type(model).__name__} has none "
            "(see palimpsest.strategies.base.architectures.Searchable); use it in an architecture "
            "search, or another strategy, such as wpl or replay"
        )
    return model


def options_of(model: nn.Module, setting: str) -> tuple[int, ...]:
    """Return how many options each decision of a supernet has.

    Args:
        model: What is trained.
        setting: What asks for them, for messages.

    Raises:
        NoArchitecturesError: The model does not tell.
    """
    if not isinstance(model, HasOptions):
        raise NoArchitecturesError(
            f"{setting} changes every decision of an architecture, and {type(model).__name__} has "
            "no method options() that tells how many options each decision has; say archive"
        )
    return model.options()


def edges_of(model: nn.Module, setting: str) -> frozenset[str]:
    """Return the names of the parameters that belong to a choice.

    Args:
        model: What is trained.
        setting: What asks for them, for messages.

    Raises:
        NoArchitecturesError: The model does not tell.
    """
    if not isinstance(model, HasEdges):
        raise NoArchitecturesError(
            f"{setting} means the parameters that belong to a choice of a supernet, and "
            f"{type(model).__name__} has no method edges() that tells them; protect all, or give "
            "patterns of names where there is such a setting"
        )
    return model.edges()
