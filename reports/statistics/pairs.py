"""Two variants compared pair by pair: the same scenario, the same seed.

Runs with the same seed share their initial weights and batches, so the variation that both have
in common cancels. Every comparison gives the size of the difference and the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lgamma, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.interval import (
    CONFIDENCE,
    DIGITS,
    FEWEST_SEEDS,
    ROUNDING,
    Estimate,
    mean_estimate,
)

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[int, float | None]]
"""Values of a variant by scenario and seed; ``None`` where the metric is not defined."""


@dataclass(frozen=True)
class PairedComparison:
    """How one variant differs from another, over pairs of runs.

    Attributes:
        difference: Mean over scenarios of the mean difference (ours minus theirs), with the
            interval of ``interval.mean_estimate`` and the p-value of the test that this inverts;
            its ``n`` counts the pairs.
        seeds: How many seeds the pairs have; scenarios share them.
        p_holm: After Holm's correction, where there was one.
        effect: Mean difference in standard deviations of the differences (``effect_size``).
        rank_biserial: Matched-pairs rank-biserial correlation, -1 .. 1.
        improvement: Share of the pairs in which ours is greater, ties counted half.
    """

    difference: Estimate
    seeds: int
    p_holm: float | None
    effect: float | None
    rank_biserial: float | None
    improvement: Estimate

    @property
    def p(self) -> float | None:
        """Two-sided p-value, before any correction: below 5 % where the interval excludes zero."""
        return self.difference.p


def compare_pairs(ours: Runs, theirs: Runs, bounds: Bounds | None = None) -> PairedComparison:
    """Compare two variants over the scenarios and seeds for which both have values.

    The test is the one that the interval inverts: the paired t-test, over several scenarios of
    whole seeds.

    Args:
        ours: Values of one variant.
        theirs: Values of the variant it is compared with.
        bounds: The range of the difference, see ``interval.mean_estimate``.
    """
    pairs = _differences(ours, theirs)
    difference = mean_estimate(pairs, bounds)
    seeds = sorted({seed for own in pairs.values() for seed in own})
    improvement = _improvement(pairs, len(seeds))
    if difference.value is None or len(seeds) < 2:
        return PairedComparison(difference, len(seeds), None, None, None, improvement)
    values = np.sort(np.concatenate([list(own.values()) for own in pairs.values()]))
    effect, rank = effect_size(values), rank_biserial(values)
    return PairedComparison(difference, len(seeds), None, effect, rank, improvement)


def paired_difference(ours: Runs, theirs: Runs, bounds: Bounds | None = None) -> Estimate:
    """Return the mean difference of ``compare_pairs`` with its interval and p-value."""
    return mean_estimate(_differences(ours, theirs), bounds)


def effect_size(differences: Array) -> float | None:
    """Return Cohen's ``d_z = mean / s`` of differences, times Hedges' small-sample correction.

    ``J = G(f/2) / (sqrt(f/2) G((f - 1)/2))``, ``f = n - 1``, G the gamma function. Over several
    scenarios ``s`` includes the differences between them. Sources: Cohen, Statistical Power
    Analysis (1988), section 2.3.5; Hedges, J. Educational Statistics 6 (1981).

    It has no interval, since pairs of several scenarios are not independent.

    Returns:
        In standard deviations; ``None`` with fewer than three pairs, where J is zero, and where
        all pairs differ by the same nonzero amount, where it is infinite.
    """
    n = differences.size
    if n < 3:
        return None
    if not differences.any():
        return 0.0
    deviation = float(differences.std(ddof=1))
    if deviation < ROUNDING:
        return None
    half = (n - 1) / 2
    correction = np.exp(lgamma(half) - lgamma(half - 0.5)) / sqrt(half)
    return float(correction * differences.mean() / deviation)


def rank_biserial(differences: Array) -> float:
    """Return the matched-pairs rank-biserial correlation: ``(W+ - W-) / (W+ + W-)``.

    ``W+`` and ``W-`` are the sums of the ranks of positive and negative differences by size;
    zeros are left out. 1: ours is greater in every pair; 0 where all pairs are equal.
    Source: Kerby, The Simple Difference Formula, Comprehensive Psychology 3 (2014).
    """
    from scipy.stats import rankdata

    known = differences[differences != 0]
    if not known.size:
        return 0.0
    ranks: Any = rankdata(np.abs(known))
    return float((ranks * np.sign(known)).sum() / ranks.sum())


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct a family of p-values; ``None`` (no test) stays ``None`` and is not counted.

    ``max_{j <= i} min(1, (m - j + 1) p_(j))`` for the i-th smallest of m. Source: Holm, A
    Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statistics 6 (1979).
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for done, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - done) * p))
        corrected[place] = least
    return corrected


def _differences(ours: Runs, theirs: Runs) -> dict[str, dict[int, float]]:
    """Return the differences of pairs by scenario and seed, in the order of the seeds."""
    found: dict[str, dict[int, float]] = {}
    for name in sorted({*ours, *theirs}):
        mine, other = ours.get(name, {}), theirs.get(name, {})
        found[name] = {
            seed: round(a - b, DIGITS)
            for seed in sorted(mine.keys() & other.keys())
            if (a := mine[seed]) is not None and (b := other[seed]) is not None
        }
    return found


def _improvement(pairs: Mapping[str, Mapping[int, float]], seeds: int) -> Estimate:
    """Return the probability of improvement, P(ours > theirs) + P(equal) / 2, of paired runs.

    The mean over scenarios, as in Agarwal et al., NeurIPS 2021, who compare every run with every
    other. With Wilson's interval for a share (J. Am. Statistical Association 22, 1927): a bootstrap
    gives none where all pairs point one way, which is common with few seeds. Its n is the number
    of seeds, as if all scenarios of a seed agreed, which is conservative.
    """
    from scipy.special import ndtri

    n = sum(len(own) for own in pairs.values())
    if not pairs or not all(pairs.values()):
        return Estimate(n=n)
    wins = [np.sign(list(own.values())).mean() for own in pairs.values()]
    share = float(np.mean([(win + 1) / 2 for win in wins]))
    if seeds < FEWEST_SEEDS:
        return Estimate(share, n=n)
    square = float(ndtri((1 + CONFIDENCE) / 2)) ** 2 / seeds
    center = (share + square / 2) / (1 + square)
    half = sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return Estimate(share, max(0.0, center - half), min(1.0, center + half), n)
