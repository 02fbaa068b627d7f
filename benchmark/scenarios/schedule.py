"""The order in which a run trains its models, and when it evaluates them.

A strategy's facts say whether it trains models in turn or at once. A scenario may have a schedule
of its own: alternating visits, as in an architecture search, where many sub-networks of one bank
are trained for a few steps at a time, in any order and repeatedly. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

Order = Literal["in turn", "at once", "visits"]


@dataclass(frozen=True)
class Visit:
    """One training.

    For strategies every visit is a separate training: an experience begins and ends with it.

    Attributes:
        models: The models trained: one, or all at once.
        steps: Optimizer steps, at most.
        evaluated: The models evaluated afterwards.
        plain: Whether the strategy under test takes no part in it.
    """

    models: tuple[int, ...]
    steps: int
    evaluated: tuple[int, ...] = ()
    plain: bool = False


@dataclass(frozen=True)
class Schedule:
    """All trainings of a run.

    Attributes:
        order: How models follow one another. Only "in turn" are there earlier and later models,
            which curves, early stopping and most probes need.
        visits: The trainings.
        fills_matrix: Whether evaluations are rows of the accuracy matrix, each for the last model
            trained. Otherwise they are moments, and the run has no accuracy matrix.
    """

    order: Order
    visits: tuple[Visit, ...]
    fills_matrix: bool

    @property
    def steps(self) -> int:
        """Optimizer steps of all visits together, at most."""
        return self.ends[-1]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Optimizer steps before each visit, and after the last one, at most."""
        return (0, *accumulate(visit.steps for visit in self.visits))

    @property
    def unordered(self) -> str | None:
        """Why no model comes before another, in words; ``None`` if they are trained in turn."""
        return {
            "in turn": None,
            "at once": "all models are trained at once",
            "visits": "models are trained by turns, again and again",
        }[self.order]

    def at_once(self, models: int, steps: int | None = None) -> Schedule:
        """Return one training of all models at once.

        Args:
            models: How many there are.
            steps: How long it is; ``None`` for as many steps as all visits together.
        """
        everyone = tuple(range(models))
        visit = Visit(everyone, self.steps if steps is None else steps, everyone)
        return Schedule("at once", (visit,), self.fills_matrix)


def in_turn(steps: Sequence[int]) -> Schedule:
    """Return the schedule that trains each model once and then evaluates all of them."""
    everyone = tuple(range(len(steps)))
    return Schedule("in turn", tuple(Visit((i,), n, everyone) for i, n in enumerate(steps)), True)


def alternating(visits: Iterable[Visit]) -> Schedule:
    """Return a schedule of visits, in their order.

    Args:
        visits: Each trains one model; a model may have any number of them.

    Raises:
        ValueError: There is no visit, or one with several models or without steps.
    """
    listed = tuple(visits)
    if not listed:
        raise ValueError("a schedule needs at least one visit")
    for place, visit in enumerate(listed):
        if len(visit.models) != 1 or visit.steps < 1:
            raise ValueError(
                f"visit {place} trains the models {visit.models} for {visit.steps} steps; "
                "expected one model and at least one step"
            )
    return Schedule("visits", listed, fills_matrix=False)
