"""Intervals over seeds: one for every number, 95 %, fixed random numbers where any are drawn.

Nearly all are Student's: the value -+ ``t(97.5 %, seeds - 1)`` standard errors, clipped to the
range of the number (an accuracy is at most 1; the true value is in the range, so clipping does
not reduce the coverage). Only the standard error differs:

* that of a **mean** is the textbook's (``mean_estimate``). Scenarios share seeds, and with them
  initial weights: the deviations of a seed are summed over all scenarios before they are squared,
  as for clustered observations. Source: Cameron & Miller, A Practitioner's Guide to Cluster-Robust
  Inference, Journal of Human Resources 50 (2015);
* that of an **interquartile mean, median or hypervolume** is found by a bootstrap that draws whole
  seeds, each with all of its runs (``student_estimate``, ``seed_weights``). Sources: Efron &
  Tibshirani, An Introduction to the Bootstrap (1993), section 12, and Hesterberg, What Teachers
  Should Know About the Bootstrap, The American Statistician 69 (2015), who also gives the factor
  for functions of means, whose error resampling underestimates: ``sqrt(n / (n - 1))``. For order
  statistics it does not.

The others: a **share of fine-tuning's forgetting**, and the difference of two, has Fieller's
interval (``ratio.py``). Where Fieller's does not apply (over several scenarios, and in
``palimpsest compare``), it is Student's of the linearised ratio (``ratio.linearised``). A **share
of pairs that are won** has Wilson's (``pairs.compare_pairs``), and the difference of two groups of
different seeds Welch's (``two_samples.compare_independent``).

With fewer than ``FEWEST_SEEDS`` seeds there is no interval: the values of the seeds are shown.

How often they cover the true value, per cent, in 20,000 simulations (error of a number: 0.2), with
3 to 20 seeds of one scenario. Log-normal: deviation 0.5 of the logarithm; the beta distributions
are shaped like accuracies near 90 and 96 %; collapses: 15 % of the runs near 20 instead of 90 %
(see ``collapse.py``). After the coverage of Student's interval, that of the smoothed bootstrap-t,
which some tables had before (4,000 simulations, error 0.4), and its width as a multiple of
Student's:

==============  ==========  ==========  ==========  ==========  ==========
law             n=3         n=4         n=5         n=10        n=20
==============  ==========  ==========  ==========  ==========  ==========
normal          95 96 1.24  95 95 1.15  95 96 1.08  95 94 1.02  95 94 1.00
log-normal      92 94 1.25  92 93 1.14  92 93 1.11  92 93 1.04  93 94 1.02
beta(18, 2)     93 95 1.27  92 93 1.15  92 94 1.11  93 94 1.03  94 95 1.01
beta(48, 2)     92 95 1.27  92 93 1.16  92 93 1.11  92 94 1.04  93 95 1.03
t(5)            96 97 1.25  96 96 1.14  96 95 1.08  96 94 1.02  95 94 1.01
15 % collapses  39 45 1.25  47 47 1.15  55 56 1.22  80 80 1.27  92 95 1.17
==============  ==========  ==========  ==========  ==========  ==========

The bootstrap-t covers skewed distributions one point better, for 11 % more width with five seeds,
and with random numbers that nobody can check by hand. No interval is right where runs collapse.

The interquartile mean and the median (2,000 simulations, error 0.5):

===========  =====  =====  =====  =====
law          n=4    n=5    n=10   n=20
===========  =====  =====  =====  =====
normal       96 96  96 98  95 95  94 94
log-normal   95 95  95 97  95 95  94 95
beta(18, 2)  94 94  94 96  95 95  94 94
beta(48, 2)  95 95  95 97  95 95  95 94
t(5)         97 97  97 98  96 96  96 95
===========  =====  =====  =====  =====

The mean over three scenarios, normal, correlated over scenarios within a seed; after it the same
if scenarios were treated as independent, as before:

===============  =====  =====  =====  =====
seeds            n=4    n=5    n=10   n=20
===============  =====  =====  =====  =====
correlation 0.0  95 96  95 95  95 95  95 95
correlation 0.5  95 86  95 85  95 84  95 84
correlation 0.9  95 75  95 75  95 76  95 76
===============  =====  =====  =====  =====

``python tests/reports/statistics/simulations.py`` reproduces these numbers, and
``tests/reports/statistics/test_interval.py`` some of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.collapse import Strays, strays

Array = NDArray[np.float64]
Strata = Mapping[str, Mapping[int, float | None] | Iterable[float | None]]
"""The values of each scenario by seed; ``None`` where a metric is not defined.

Values without seeds are treated as independent between scenarios."""


CONFIDENCE = 0.95

FEWEST_SEEDS = 4
"""With fewer seeds there is no interval: the values of the seeds say more than any would.

Student's factor is 12.7 with two seeds and 4.3 with three: the interval of most accuracies would
reach from one end of the scale to the other."""

_ROUNDING = 1e-12  # a spread below this is rounding, not spread: metrics are of order 1


@dataclass(frozen=True)
class Estimate:
    """A number from runs and how well the seeds pin it down.

    Attributes:
        value: What was estimated, ``None`` where it is not defined.
        low: Lower end of the 95 % interval, ``None`` where some scenario has fewer than
            ``FEWEST_SEEDS`` seeds.
        high: Upper end of the interval, likewise.
        n: How many runs (or pairs of runs) it rests on.
        seeds: Of a mean, the value of each seed (its mean over several scenarios); empty where
            scenarios have different seeds.
        strays: Seeds that are far from all others, of a mean of fractions.
        parts: Of a ratio of means, whose seeds have no value of their own: those of its two means
            that have strays, by name.
        p: Two-sided p-value of "it is zero", of the test that the interval inverts: below 5 %
            exactly where the interval excludes zero. ``None`` where there is no interval, or none
            that such a test belongs to.
        reason: Why there is no value, where that is known.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    seeds: tuple[float, ...] = ()
    strays: Strays | None = None
    parts: tuple[tuple[str, Estimate], ...] = ()
    p: float | None = None
    reason: str | None = None

    @property
    def minimum(self) -> float | None:
        """The smallest value of a seed."""
        return min(self.seeds, default=None)

    @property
    def maximum(self) -> float | None:
        """The greatest value of a seed."""
        return max(self.seeds, default=None)

    @property
    def median(self) -> float | None:
        """The median over seeds."""
        return median(self.seeds) if self.seeds else None

    def __neg__(self) -> Estimate:
        """Reverse the sign: ``b - a`` for ``a - b``."""
        value, low, high = (
            None if end is None else -end for end in (self.value, self.high, self.low)
        )
        turned = self.strays and Strays(self.strays.count, not self.strays.below)
        return Estimate(
            value, low, high, self.n, tuple(-own for own in self.seeds), turned, p=self.p
        )


def mean_estimate(strata: Strata, bounds: Bounds | None = None) -> Estimate:
    """Return the mean over scenarios of the mean over seeds, with Student's interval.

    For K scenarios k with ``n_k`` seeds s, ``value = 1/K sum_k 1/n_k sum_s x_ks``, and its squared
    standard error is ``sum_s (sum_k (x_ks - mean_k) / (K sqrt(n_k (n_k - 1))))^2``: for one
    scenario ``s^2 / n``, for several with the same seeds that of the seeds' means, and for several
    without a seed in common the sum of theirs over ``K^2``. The degrees of freedom are those of
    the scenario with the fewest seeds, ``n_k - 1``.

    Args:
        strata: Values by scenario. Undefined ones are left out; if none is left in some
            scenario there is no mean, since means over different scenarios are not comparable.
        bounds: The range of the number: the interval is clipped to it, and for fractions the
            seeds far from all others are found. ``None`` where the range is not known.
    """
    groups = known_values(strata)
    sizes = [len(group) for group in groups]
    n = sum(sizes)
    if min(sizes, default=0) == 0:
        return Estimate(None, None, None, n)
    means = [float(np.mean(list(group.values()))) for group in groups]
    away: dict[object, float] = {}
    for group, mean, size in zip(groups, means, sizes, strict=True):
        unit = len(groups) * sqrt(size * (size - 1)) if size > 1 else 1.0
        for seed, value in group.items():
            away[seed] = away.get(seed, 0.0) + (value - mean) / unit
    error = sqrt(sum(part**2 for part in away.values()))
    shared = all(group.keys() == groups[0].keys() for group in groups)
    seeds = np.mean([list(group.values()) for group in groups], axis=0).tolist() if shared else []
    return student_estimate(
        float(np.mean(means)), error, min(sizes) - 1, n, bounds, seeds=tuple(seeds)
    )


def student_estimate(
    value: float,
    error: float,
    freedom: float,
    n: int,
    bounds: Bounds | None = None,
    *,
    seeds: tuple[float, ...] = (),
) -> Estimate:
    """Return ``value -+ t(97.5 %, freedom) * error``, clipped to the range of the number.

    Without an interval below ``FEWEST_SEEDS`` seeds; their number is ``freedom + 1``.

    Args:
        value: What was estimated.
        error: Its standard error.
        freedom: Degrees of freedom of that error, seeds - 1.
        n: How many runs it rests on.
        bounds: The range of the number, ``None`` where it is not known.
        seeds: For a mean, the values of the seeds.
    """
    far = strays(seeds) if bounds and bounds.fraction and len(seeds) >= FEWEST_SEEDS else None
    if freedom + 1 < FEWEST_SEEDS:
        return Estimate(value, None, None, n, seeds)
    p = student_p(value, error, freedom)
    if error < _ROUNDING:
        return Estimate(value, value, value, n, seeds, far, p=p)
    # half_width takes the standard deviation of freedom + 1 single values.
    half = float(half_width(error * sqrt(freedom + 1), freedom + 1))
    low, high = value - half, value + half
    if bounds:
        low, high = max(low, bounds.low), min(high, bounds.high)
    return Estimate(value, low, high, n, seeds, far, p=p)


def student_p(value: float, error: float, freedom: float) -> float:
    """Return the two-sided p-value of "it is zero" by Student's t, ``value / error``.

    It is below ``1 - CONFIDENCE`` where ``value -+ t(97.5 %, freedom) * error`` excludes zero, and
    nowhere else. Without any spread it is 0, or 1 where the value is zero.

    Args:
        value: What was estimated.
        error: Its standard error.
        freedom: Degrees of freedom of that error.
    """
    from scipy.special import stdtr

    if error < _ROUNDING:
        return float(value == 0)
    return 2 * float(stdtr(freedom, -abs(value) / error))


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


_Key = tuple[str, int]


def known_values(strata: Strata) -> list[dict[_Key, float]]:
    """Return the defined values of each scenario by seed, whatever the order of the runs."""
    found = []
    for name, values in sorted(strata.items()):
        if isinstance(values, Mapping):
            known = {("", seed): values[seed] for seed in sorted(values)}
        else:
            ordered = sorted(value for value in values if value is not None)
            known = {(name, place): value for place, value in enumerate(ordered)}
        found.append({key: float(value) for key, value in known.items() if value is not None})
    return found
