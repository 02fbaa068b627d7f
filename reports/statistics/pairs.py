"""Two variants compared pair by pair: the same scenario, the same seed.

Runs with the same seed share their initial weights and batches, so the variation that both have
in common cancels. Every comparison gives the size of the difference beside the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.effects import effect_size, rank_biserial
from palimpsest.reports.statistics.interval import CONFIDENCE, FEWEST_SEEDS, Estimate, mean_estimate

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[int, float | None]]
"""Values of a variant by scenario and seed; ``None`` where the metric is not defined."""

_DIGITS = 12  # decimals that differences are rounded to: what is below is rounding error


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

    The test is the one that the interval inverts, so that both say the same: the paired t-test,
    over several scenarios of whole seeds.

    Args:
        ours: Values of the variant in question.
        theirs: Values of the variant it is compared with.
        bounds: The range of the difference, see ``interval.mean_estimate``.
    """
    pairs = {name: _differences(ours, theirs, name) for name in sorted({*ours, *theirs})}
    difference = paired_difference(ours, theirs, bounds)
    seeds = sorted({seed for own in pairs.values() for seed in own})
    improvement = _improvement(pairs, len(seeds))
    if difference.value is None or len(seeds) < 2:
        return PairedComparison(difference, len(seeds), None, None, None, improvement)
    values = np.sort(np.concatenate([list(own.values()) for own in pairs.values()]))
    effect, rank = effect_size(values), rank_biserial(values)
    return PairedComparison(difference, len(seeds), None, effect, rank, improvement)


def paired_difference(ours: Runs, theirs: Runs, bounds: Bounds | None = None) -> Estimate:
    """Return the mean difference of ``compare_pairs`` with its interval and p-value.

    Args:
        ours: Values of the variant in question.
        theirs: Values of the variant it is compared with.
        bounds: The range of the difference, see ``interval.mean_estimate``.
    """
    names = sorted({*ours, *theirs})
    return mean_estimate({name: _differences(ours, theirs, name) for name in names}, bounds)


def _differences(ours: Runs, theirs: Runs, scenario: str) -> dict[int, float]:
    """Differences of the pairs of a scenario by seed, in the order of the seeds."""
    mine, other = ours.get(scenario, {}), theirs.get(scenario, {})
    return {
        seed: round(a - b, _DIGITS)
        for seed in sorted(mine.keys() & other.keys())
        if (a := mine[seed]) is not None and (b := other[seed]) is not None
    }


def _improvement(pairs: Mapping[str, Mapping[int, float]], seeds: int) -> Estimate:
    """Probability of improvement, P(ours > theirs) + P(equal) / 2, within pairs of one seed.

    The mean over scenarios, as in Agarwal et al., NeurIPS 2021, who compare every run with
    every other; here only runs of the same seed, since they are paired in everything else.
    With Wilson's interval for a share (J. Am. Statistical Association 22, 1927): a bootstrap gives
    none where all pairs point one way, which is common with few seeds. Its n is the number of
    seeds, as if all scenarios of a seed agreed; this is conservative.
    """
    from scipy.special import ndtri

    n = sum(len(own) for own in pairs.values())
    if not pairs or not all(pairs.values()):
        return Estimate(None, None, None, n)
    wins = [np.sign(list(own.values())).mean() for own in pairs.values()]
    share = float(np.mean([(win + 1) / 2 for win in wins]))
    if seeds < FEWEST_SEEDS:
        return Estimate(share, None, None, n)
    square = float(ndtri((1 + CONFIDENCE) / 2)) ** 2 / seeds
    center = (share + square / 2) / (1 + square)
    half = sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return Estimate(share, max(0.0, center - half), min(1.0, center + half), n)
