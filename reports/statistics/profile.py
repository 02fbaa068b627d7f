"""Performance profiles: the share of runs with a score above each threshold.

Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
NeurIPS 2021 (run-score distributions). Their bands are percentiles of a bootstrap that draws the
runs of each scenario by themselves. Here scenarios share their seeds, and the share at a threshold
is a mean over seeds, so the bands are the interval of every other mean
(``interval.mean_estimate``).

How often bands cover the true share, per cent, in 2,000 simulations with normal scores that are
correlated by 0.5 over the scenarios of a seed, where the true share is 50, 21 and 7 %: percentiles
of a bootstrap of whole seeds, then Student's interval:

============  =====  =====  =====
runs          50 %   21 %   7 %
============  =====  =====  =====
1 x 5 seeds   94 94  68 68  30 30
1 x 10 seeds  96 98  91 91  48 49
1 x 20 seeds  96 96  92 93  76 76
3 x 5 seeds   83 93  76 92  56 57
3 x 10 seeds  93 95  86 92  81 82
3 x 20 seeds  95 96  91 92  85 86
============  =====  =====  =====

Neither is right where hardly any run is above the threshold, or hardly any is not: where all runs
agree, a band has no width, and only says that these runs agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.interval import Strata, known_values, mean_estimate

Array = NDArray[np.float64]

_SHARE = Bounds(0.0, 1.0, fraction=False)


@dataclass(frozen=True, eq=False)
class Profile:
    """The share of runs with a score above each threshold.

    Attributes:
        thresholds: Ascending, (T,).
        share: Fractions, (T,).
        low: Lower ends of the pointwise 95 % intervals, (T,); NaN where some scenario has fewer
            than ``FEWEST_SEEDS`` seeds.
        high: Upper ends, likewise.
        n: How many runs it comes from.
    """

    thresholds: Array
    share: Array
    low: Array
    high: Array
    n: int


def performance_profile(strata: Strata, thresholds: ArrayLike) -> Profile | None:
    """Return the mean over scenarios of the share of runs above each threshold, with intervals.

    Args:
        strata: Scores, by scenario and seed. Undefined ones are left out.
        thresholds: Ascending, (T,), in the unit of the scores.

    Returns:
        ``None`` where some scenario has no score.
    """
    names, groups = sorted(strata), known_values(strata)
    if not groups or not all(groups):
        return None
    tau = np.asarray(thresholds, dtype=float)
    ends = []
    for least in tau.tolist():
        above = ({seed: float(x > least) for (_, seed), x in own.items()} for own in groups)
        ends.append(mean_estimate(dict(zip(names, above, strict=True)), _SHARE).ends)
    share, low, high = np.array(ends, dtype=float).T
    return Profile(tau, share, low, high, sum(map(len, groups)))
