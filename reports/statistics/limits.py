"""The range of a number, to which its interval is clipped."""

from __future__ import annotations

from typing import NamedTuple

from palimpsest.benchmark.metrics import ACCURACY as _ACCURACY
from palimpsest.benchmark.metrics import CHANGE as _CHANGE
from palimpsest.benchmark.metrics import METRICS, UNBOUNDED


class Limits(NamedTuple):
    """The least and the greatest value that a number can have.

    Attributes:
        low: The least.
        high: The greatest.
        fraction: Whether it is a fraction. Seeds far from all others are found for fractions
            only, since the gap is in percentage points.
    """

    low: float
    high: float
    fraction: bool = True


ACCURACY = Limits(*_ACCURACY)
CHANGE = Limits(*_CHANGE)
"""Of the difference of two accuracies."""
UNLIMITED = Limits(*UNBOUNDED)
"""Of a fraction without bounds, such as the share of forgetting removed (there may be a gain)."""


def limits_of(metric: str) -> Limits:
    """Return the limits of a metric, by its name."""
    found = METRICS[metric]
    return Limits(*found.bounds, found.is_percentage)


def of_difference(limits: Limits) -> Limits:
    """Return the limits of the difference of two numbers with these limits."""
    return Limits(limits.low - limits.high, limits.high - limits.low, limits.fraction)
