"""What the values are called that strategies are swept over: strengths, ranks, scales."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from palimpsest.benchmark.suites.spec import STRENGTH
from palimpsest.reports.wording.words import plural

_NEUTRAL = "dial value"

_SCALES: dict[str, tuple[float | None, float | None]] = {
    STRENGTH: (0, None),
    "memory": (0, None),
    "rank": (0, None),
    "epsilon": (0, 1),
    "share": (0, 1),
    "energy": (0, 1),
    "density": (None, 1),
    "beta": (0, None),
    "eta": (0, None),
    "scale": (0, None),
    "alpha": (0, 1),
}
"""Where the scales of known dials end, below and above."""

_BUDGET = "memory"
"""The dial of methods that store samples: what they may keep, not a setting to tune."""

_WHOLE = frozenset([_BUDGET, "rank"])
"""Dials of whole numbers."""


@dataclass(frozen=True)
class Dial:
    """The words for the values of one dial, or of several that stand together.

    Attributes:
        one: ``strength``, ``rank``; ``dial value`` where dials of several names stand together.
    """

    one: str

    @property
    def many(self) -> str:
        """``strengths``."""
        return plural(self.one)

    @property
    def low(self) -> str:
        """``weak``; of other dials ``low``."""
        return "weak" if self.one == STRENGTH else "low"

    @property
    def high(self) -> str:
        """``strong`` or ``high``."""
        return "strong" if self.one == STRENGTH else "high"

    @property
    def lower(self) -> str:
        """``weaker``; of other dials, whose direction is not known, ``lower``."""
        return "weaker" if self.one == STRENGTH else "lower"

    @property
    def higher(self) -> str:
        """``stronger`` or ``higher``."""
        return "stronger" if self.one == STRENGTH else "higher"

    @property
    def lowest(self) -> str:
        """``weakest`` or ``lowest``."""
        return "weakest" if self.one == STRENGTH else "lowest"

    @property
    def highest(self) -> str:
        """``strongest`` or ``highest``."""
        return "strongest" if self.one == STRENGTH else "highest"


def dial_named(names: Iterable[str]) -> Dial:
    """Return the words for dials of these names; those of a strength where there is none."""
    found = set(names) or {STRENGTH}
    return Dial(found.pop() if len(found) == 1 else _NEUTRAL)


def is_scale_end(name: str, value: float, *, high: bool) -> bool:
    """Whether the scale of a dial goes no further than a value.

    Args:
        name: Of the dial.
        value: Its value.
        high: Whether upwards, or else downwards.
    """
    return _SCALES.get(name, (None, None))[high] == value


def is_budget(name: str) -> bool:
    """Whether a dial is what a method may spend, of which more is seldom worse."""
    return name == _BUDGET


def is_next(name: str, one: float, other: float) -> bool:
    """Whether a dial has no value between two.

    Args:
        name: Of the dial.
        one: A value.
        other: Another.
    """
    return name in _WHOLE and abs(one - other) <= 1
