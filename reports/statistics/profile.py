"""Performance profiles: the share of runs with a score above each threshold.

Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
NeurIPS 2021 (run-score distributions). Their bands are percentiles of a bootstrap that draws the
runs of each scenario by themselves. Here scenarios share their seeds, and the share at a threshold
is a mean over seeds, so the bands are the interval of every other mean
(``interval.mean_estimate``): its standard error is that of a bootstrap which draws whole seeds,
without its random numbers.

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
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palimpsest.reports.statistics.interval import Strata, half_width, known_values

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Profile:
    """The share of runs with a score above each threshold.

    Attributes:
        thresholds: Ascending, (T,).
        share: Fractions, (T,).
        low: Lower ends of the pointwise 95 % intervals, (T,); NaN where some scenario has fewer
            than ``FEWEST_SEEDS`` seeds.
        high: Upper ends, likewise.
        n: How many runs it rests on.
    """

    thresholds: Array
    share: Array
    low: Array
    high: Array
    n: int


def performance_profile(strata: Strata, thresholds: ArrayLike) -> Profile | None:
    """Return ``1/K sum_k 1/n_k sum_s [x_ks > tau]`` for each threshold tau.

    Over K scenarios k with ``n_k`` runs each, so that each scenario has the same weight, with the
    interval of ``interval.mean_estimate`` within 0 .. 1.

    Args:
        strata: Scores, by scenario and seed. Undefined ones are left out.
        thresholds: Ascending, (T,), in the unit of the scores.

    Returns:
        ``None`` where some scenario has no score.
    """
    groups = known_values(strata)
    sizes = [len(group) for group in groups]
    if min(sizes, default=0) == 0:
        return None
    tau = np.asarray(thresholds, dtype=float)
    seeds = dict.fromkeys(seed for group in groups for seed in group)
    places = {seed: place for place, seed in enumerate(seeds)}
    shares = np.empty((len(groups), len(tau)))
    away = np.zeros((len(tau), len(places)))
    for k, (group, size) in enumerate(zip(groups, sizes, strict=True)):
        above = np.array(list(group.values()))[None, :] > tau[:, None]
        shares[k] = above.mean(axis=1)
        unit = len(groups) * sqrt(size * (size - 1)) if size > 1 else 1.0
        away[:, [places[seed] for seed in group]] += (above - shares[k][:, None]) / unit
    share = shares.mean(axis=0)
    least = min(sizes)
    error = np.sqrt((away**2).sum(axis=1))
    half = half_width(error * sqrt(least), np.full(len(tau), least))
    low, high = np.clip(share - half, 0.0, 1.0), np.clip(share + half, 0.0, 1.0)
    return Profile(tau, share, low, high, sum(sizes))
