"""Intervals over seeds: one for every number, 95 %.

Nearly all are Student's: the value -+ ``t(97.5 %, seeds - 1)`` standard errors, clipped to the
range of the number (an accuracy is at most 1; the true value is in the range, so clipping does
not reduce the coverage). Only the standard error differs:

* that of a **mean** is the textbook's (``mean_estimate``). Scenarios share seeds, and with them
  initial weights: the deviations of a seed are summed over all scenarios before they are squared,
  as for clustered observations. Source: Cameron & Miller, A Practitioner's Guide to Cluster-Robust
  Inference, Journal of Human Resources 50 (2015);
* that of an **interquartile mean, median or hypervolume** is found by a bootstrap that draws whole
  seeds with fixed random numbers (``bootstrap.py``). Sources: Efron & Tibshirani, An Introduction
  to the Bootstrap (1993), section 12, and Hesterberg, What Teachers Should Know About the
  Bootstrap, The American Statistician 69 (2015). He also gives ``sqrt(n / (n - 1))``, the factor
  by which resampling underestimates the error of functions of means. Order statistics need none.

A **share of fine-tuning's forgetting**, and the difference of two, has Fieller's interval
(``ratio.py``), or where that does not apply Student's of the linearised ratio. A **share of pairs
that are won** has Wilson's (``pairs.py``), and the difference of two groups of different seeds
Welch's (``two_samples.py``).

With fewer than ``FEWEST_SEEDS`` seeds there is no interval: the values of the seeds are shown.

How often Student's covers the true mean of one scenario, per cent, in 20,000 simulations (error
0.2). Log-normal: deviation 0.5 of the logarithm; the beta distributions are shaped like accuracies
near 90 and 96 %; collapses: 15 % of the runs near 20 instead of 90 % (see ``collapse.py``). After
it the interquartile mean and the median (2,000 simulations, error 0.5):

==============  ===  ========  ========  ========  ========
law             n=3  n=4       n=5       n=10      n=20
==============  ===  ========  ========  ========  ========
normal          95   95 96 96  95 96 98  95 95 95  95 94 94
log-normal      92   92 95 95  91 95 97  92 95 95  93 94 95
beta(18, 2)     93   92 94 94  92 94 96  94 95 95  94 94 94
beta(48, 2)     92   92 95 95  92 95 97  92 95 95  93 95 94
t(5)            96   96 97 97  96 97 98  95 96 96  95 95 94
15 % collapses  39   48        56        80        92
==============  ===  ========  ========  ========  ========

The mean over three scenarios, normal, correlated by 0 to 0.9 over the scenarios of a seed, is
covered in 95 % of cases; if scenarios were treated as independent, in 75 % with correlation 0.9.

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

Strata = Mapping[str, Mapping[int, float | None] | Iterable[float | None]]
"""The values of each scenario by seed; ``None`` where a metric is not defined.

Values without seeds are treated as independent between scenarios."""

CONFIDENCE = 0.95

FEWEST_SEEDS = 4
"""With fewer seeds there is no interval: the values of the seeds say more than any would.

Student's factor is 12.7 with two seeds and 4.3 with three: the interval of most accuracies would
reach from one end of the scale to the other."""

ROUNDING = 1e-12
"""A spread or a difference below this is rounding: metrics are of order 0.01 to 1."""

DIGITS = 12
"""Decimals that values are rounded to before they are compared, so that rounding decides nothing.
"""


@dataclass(frozen=True)
class Estimate:
    """A number from runs, and how well the seeds determine it.

    Attributes:
        value: The number; ``None`` where it is not defined.
        low: Lower end of the 95 % interval, ``None`` where some scenario has fewer than
            ``FEWEST_SEEDS`` seeds.
        high: Upper end of the interval, likewise.
        n: How many runs (or pairs of runs) it comes from.
        seeds: Of a mean, the value of each seed (its mean over several scenarios); empty where
            scenarios have different seeds.
        strays: Seeds that are far from all others, of a mean of fractions.
        parts: Of a ratio of means, whose seeds have no value of their own: those of its two means
            that have strays, by name.
        p: Two-sided p-value of "it is zero", of the test that the interval inverts: below 5 %
            exactly where the interval excludes zero. ``None`` where there is no such test.
        reason: Why there is no value, where that is known.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    seeds: tuple[float, ...] = ()
    strays: Strays | None = None
    parts: tuple[tuple[str, Estimate], ...] = ()
    p: float | None = None
    reason: str | None = None

    @property
    def ends(self) -> tuple[float | None, float | None, float | None]:
        """The value and both ends of its interval."""
        return self.value, self.low, self.high

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
        value, high, low = (None if end is None else -end for end in self.ends)
        far = self.strays and Strays(self.strays.count, not self.strays.below)
        return Estimate(value, low, high, self.n, tuple(-own for own in self.seeds), far, p=self.p)


def mean_estimate(strata: Strata, bounds: Bounds | None = None) -> Estimate:
    """Return the mean over scenarios of the mean over seeds, with Student's interval.

    For K scenarios k with ``n_k`` seeds s, ``value = 1/K sum_k 1/n_k sum_s x_ks``, and its squared
    standard error is ``sum_s (sum_k (x_ks - mean_k) / (K sqrt(n_k (n_k - 1))))^2``: for one
    scenario ``s^2 / n``, for several with the same seeds that of the seeds' means, and for several
    without a seed in common the sum of theirs over ``K^2``. The degrees of freedom are those of
    the scenario with the fewest seeds, ``n_k - 1``.

    Args:
        strata: Values by scenario. Undefined ones are left out. There is no mean if a scenario
            has no value, since means over different scenarios are not comparable.
        bounds: The range of the number, if it is known: the interval is clipped to it, and for
            fractions the seeds far from all others are found.
    """
    groups = known_values(strata)
    sizes = [len(group) for group in groups]
    n = sum(sizes)
    if min(sizes, default=0) == 0:
        return Estimate(n=n)
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
        value: The number.
        error: Its standard error.
        freedom: Degrees of freedom of that error, seeds - 1.
        n: How many runs it comes from.
        bounds: The range of the number, if it is known.
        seeds: The values of the seeds, of a mean.
    """
    far = strays(seeds) if bounds and bounds.fraction and len(seeds) >= FEWEST_SEEDS else None
    if freedom + 1 < FEWEST_SEEDS:
        return Estimate(value, n=n, seeds=seeds)
    p = student_p(value, error, freedom)
    if error < ROUNDING:
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
    """
    from scipy.special import stdtr

    if error < ROUNDING:
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


def known_values(strata: Strata) -> list[dict[tuple[str, int], float]]:
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
