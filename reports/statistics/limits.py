"""What every interval over seeds shares: pure functions, light enough for the command line."""

from __future__ import annotations

from math import inf

from benchmark.metrics import METRICS

Limits = tuple[float, float]
"""The least and the greatest value that a number can have."""

ACCURACY: Limits = (0.0, 1.0)
CHANGE: Limits = (-1.0, 1.0)
"""Of the difference of two accuracies."""
UNLIMITED: Limits = (-inf, inf)
"""Of a fraction without ends, such as a share of what was forgotten, which may be a gain."""

_OTHERS = {name: ACCURACY for name in METRICS if name.endswith("accuracy")}
_LIMITS = {
    **dict.fromkeys(METRICS, CHANGE),
    **_OTHERS,
    "stability": ACCURACY,
    "forgetting_reduction": UNLIMITED,
}


def limits_of(metric: str) -> Limits:
    """Return the least and the greatest value of a metric of ``benchmark/metrics.py``."""
    return _LIMITS[metric]


def of_difference(limits: Limits) -> Limits:
    """Return the limits of the difference of two numbers with these limits."""
    return limits[0] - limits[1], limits[1] - limits[0]
