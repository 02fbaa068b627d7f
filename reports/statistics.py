"""What every interval over seeds shares: pure functions, light enough for the command line."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.metrics import METRICS

CONFIDENCE = 0.95

FEWEST_SEEDS = 4
"""Below so many seeds there is no interval: the values of the seeds say more than any would.

Student's factor is 12.7 with two seeds and 4.3 with three, so that the interval of most
accuracies reaches from one end of the scale to the other."""

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


def half_width(deviation: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Half the width of Student's 95 % interval for a mean: ``t(0.975, n - 1) * s / sqrt(n)``.

    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).

    Args:
        deviation: Sample standard deviation ``s``, with ``n - 1`` in its denominator.
        n: Number of values, of the same shape.

    Returns:
        Of the same shape and unit; NaN where ``n`` is below ``FEWEST_SEEDS``.
    """
    from scipy.special import stdtrit

    s, count = np.asarray(deviation, dtype=float), np.asarray(n, dtype=float)
    enough = np.where(count >= FEWEST_SEEDS, count, np.nan)
    quantile: Any = stdtrit(enough - 1, (1 + CONFIDENCE) / 2)
    return np.asarray(quantile * s / np.sqrt(enough), dtype=float)
