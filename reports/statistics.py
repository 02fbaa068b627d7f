"""Intervals over seeds: pure functions, light enough for the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and how well they pin it down.

    Attributes:
        n: How many seeds have a value.
        mean: Their mean, ``None`` where there are none.
        half: Half the width of the 95 % interval around it, ``None`` below two seeds.
        minimum: The smallest value, ``None`` where there are none.
    """

    n: int
    mean: float | None = None
    half: float | None = None
    minimum: float | None = None

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.mean is None or self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.mean is None or self.half is None else self.mean + self.half


def half_width(deviation: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Half the width of Student's 95 % interval for a mean: ``t(0.975, n - 1) * s / sqrt(n)``.

    Exact for normal values, and a fair approximation for others from about five seeds on.
    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).

    Args:
        deviation: Sample standard deviation ``s``, with ``n - 1`` in its denominator.
        n: Number of values, of the same shape.

    Returns:
        Of the same shape and unit; NaN where ``n`` is below two.
    """
    from scipy.special import stdtrit

    s, count = np.asarray(deviation, dtype=float), np.asarray(n, dtype=float)
    enough = np.where(count > 1, count, np.nan)
    quantile: Any = stdtrit(enough - 1, (1 + CONFIDENCE) / 2)
    return np.asarray(quantile * s / np.sqrt(enough), dtype=float)


def mean_interval(values: Iterable[float | None]) -> Interval:
    """Return the mean over seeds and its 95 % interval (see ``half_width``).

    Args:
        values: One a seed; ``None`` where the metric is not defined, which is left out.
    """
    known = np.array([value for value in values if value is not None], dtype=float)
    if known.size == 0:
        return Interval(0)
    half = float(half_width(known.std(ddof=1), known.size)) if known.size > 1 else None
    return Interval(known.size, float(known.mean()), half, float(known.min()))
