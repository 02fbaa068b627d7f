"""Standard errors from a bootstrap that draws whole seeds, with fixed random numbers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.interval import (
    Estimate,
    Strata,
    known_values,
    mean_estimate,
    student_estimate,
)

Array = NDArray[np.float64]

RESAMPLES = 1_000

_SEED = 1979


def iqm_and_median(strata: Strata, bounds: Bounds | None = None) -> tuple[Estimate, Estimate]:
    """Return the interquartile mean and the median over all runs x scenarios, with intervals.

    The interquartile mean is the mean of what is left after a quarter of the runs (rounded down)
    is cut off at each end: Agarwal et al., Deep Reinforcement Learning at the Edge of the
    Statistical Precipice, NeurIPS 2021. The median cuts off all but the middle one or two.
    With too few runs to cut off any, both are the mean and have its interval.
    """
    groups = known_values(strata)
    sizes = [len(group) for group in groups]
    n = sum(sizes)
    if min(sizes, default=0) == 0:
        return (Estimate(n=n),) * 2
    runs = sorted((value, seed) for group in groups for seed, value in group.items())
    values = np.array([value for value, _ in runs])
    every = sorted({seed for _, seed in runs})
    drawn = _counts(len(every)).T[[every.index(seed) for _, seed in runs]]
    last = np.cumsum(drawn, axis=0)  # position of the last copy of each value in its resample
    total = last[-1]
    found = []
    for cut, cuts in ((n // 4, total // 4), ((n - 1) // 2, (total - 1) // 2)):
        if cut == 0:
            found.append(mean_estimate(strata, bounds))
            continue
        value = float(values[cut : n - cut].mean())
        kept = np.clip(last, cuts, total - cuts)
        kept -= np.clip(last - drawn, cuts, total - cuts)  # copies that are not cut off
        error = float((values @ kept / (total - 2 * cuts)).std())
        found.append(student_estimate(value, error, min(sizes) - 1, n, bounds))
    return found[0], found[1]


def seed_weights(n: int) -> Array:
    """Return how often each of n seeds is in each resample, as weights, (RESAMPLES, n).

    Rows sum to 1, so ``seed_weights(n) @ values`` are resampled means. Quantities resampled with
    the same weights are resampled jointly: paired by seed.
    """
    return _counts(n) / n


@lru_cache(maxsize=64)
def _counts(n: int) -> Array:
    """How often each of n seeds was drawn in each resample, (RESAMPLES, n)."""
    drawn = np.random.default_rng([_SEED, n]).integers(0, n, (RESAMPLES, n))
    places = drawn + n * np.arange(RESAMPLES)[:, None]
    return np.bincount(places.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(float)
