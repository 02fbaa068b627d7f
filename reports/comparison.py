"""Two variants compared pair by pair: the same scenario, the same seed.

Runs with the same seed share their initial weights and batches, so that pairs remove what
both have in common. Every comparison has the size of the difference beside the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lgamma, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.bootstrap import Estimate, mean_estimate
from reports.permutation import EXACT_SEEDS, sign_flip, smallest_p
from reports.statistics import CONFIDENCE, FEWEST_SEEDS, Limits

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[int, float | None]]
"""Values of a variant by scenario and seed; ``None`` where the metric is not defined."""

EXACT, DRAWN = "exact sign-flip test", "Monte Carlo sign-flip test"

_DIGITS = 12  # differences are rounded to so many: what is left is rounding, not a difference


@dataclass(frozen=True)
class Comparison:
    """How one variant differs from another, over pairs of runs.

    Attributes:
        difference: Mean over scenarios of the mean difference (ours minus theirs), with the
            interval of ``bootstrap.mean_estimate``; its ``n`` counts the pairs.
        seeds: How many seeds these pairs are of; scenarios share them.
        test: Which test ``p`` is of, ``None`` where there is none (below two seeds, or a
            scenario without pairs).
        p: Two-sided p-value, before any correction.
        p_holm: After Holm's correction, where a family was corrected.
        effect: Mean difference in standard deviations of the differences (``effect_size``).
        rank_biserial: Matched-pairs rank-biserial correlation, -1 .. 1.
        improvement: Share of the pairs in which ours is greater, ties counted half.
    """

    difference: Estimate
    seeds: int
    test: str | None
    p: float | None
    p_holm: float | None
    effect: float | None
    rank_biserial: float | None
    improvement: Estimate

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that so many seeds can give."""
        return smallest_p(self.seeds)


def compare(ours: Runs, theirs: Runs, limits: Limits | None = None) -> Comparison:
    """Compare two variants over the scenarios and seeds which both have values of.

    The test is that of the mean difference which is shown: signs are flipped of whole seeds,
    in all scenarios at once (``permutation.sign_flip``). A seed contributes
    ``sum_k d_ks / (K n_k)`` to the mean over K scenarios, over those k in which it has a pair.

    Args:
        ours: Values of the variant in question.
        theirs: Values of the variant it is compared with.
        limits: What the difference can be, see ``bootstrap.mean_estimate``.
    """
    pairs = {name: _differences(ours, theirs, name) for name in sorted({*ours, *theirs})}
    difference = mean_estimate(pairs, limits)
    seeds = sorted({seed for own in pairs.values() for seed in own})
    improvement = _improvement(pairs, len(seeds))
    if difference.value is None or len(seeds) < 2:
        return Comparison(difference, len(seeds), None, None, None, None, None, improvement)
    parts = np.array([
        sum(own[seed] / len(own) for own in pairs.values() if seed in own) / len(pairs)
        for seed in seeds
    ])  # fmt: skip
    test = EXACT if len(seeds) <= EXACT_SEEDS else DRAWN
    values = np.sort(np.concatenate([list(own.values()) for own in pairs.values()]))
    effect, rank = effect_size(values), rank_biserial(values)
    p = sign_flip(parts)
    return Comparison(difference, len(seeds), test, p, None, effect, rank, improvement)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct a family of p-values; ``None`` (no test) stays and does not count.

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


def holm_of(least: float, p_values: Sequence[float]) -> float:
    """Return what Holm's correction would make of ``least`` in place of one not below it.

    Args:
        least: A p-value.
        p_values: The family, with the one that it takes the place of.
    """
    below = [p for p in p_values if p < least]
    return max(p for p in holm([*below, *[least] * (len(p_values) - len(below))]) if p is not None)


def effect_size(differences: Array) -> float | None:
    """Return Cohen's ``d_z = mean / s`` of differences, times Hedges' small-sample correction.

    ``J = G(f/2) / (sqrt(f/2) G((f - 1)/2))``, ``f = n - 1``, G the gamma function. Over several
    scenarios ``s`` holds the differences between them, too. Sources: Cohen, Statistical Power
    Analysis (1988), section 2.3.5; Hedges, J. Educational Statistics 6 (1981).

    It has no interval, since pairs of several scenarios are not independent.

    Args:
        differences: One a pair, (n,).

    Returns:
        In standard deviations; ``None`` below three pairs, where J is zero, and where all
        differ by the same amount but zero, where it is infinite.
    """
    n = differences.size
    if n < 3:
        return None
    if not differences.any():
        return 0.0
    deviation = float(differences.std(ddof=1))
    if deviation < 10.0**-_DIGITS:
        return None
    half = (n - 1) / 2
    correction = np.exp(lgamma(half) - lgamma(half - 0.5)) / sqrt(half)
    return float(correction * differences.mean() / deviation)


def rank_biserial(differences: Array) -> float:
    """Return the matched-pairs rank-biserial correlation: ``(W+ - W-) / (W+ + W-)``.

    ``W+`` and ``W-`` are the sums of the ranks of positive and negative differences by size;
    those of zero are left out. 1: ours is greater in every pair; 0 where all pairs are equal.
    Source: Kerby, The Simple Difference Formula, Comprehensive Psychology 3 (2014).

    Args:
        differences: One a pair, (n,).
    """
    from scipy.stats import rankdata

    known = differences[differences != 0]
    if not known.size:
        return 0.0
    ranks: Any = rankdata(np.abs(known))
    return float((ranks * np.sign(known)).sum() / ranks.sum())


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
    With Wilson's interval for a share (J. Am. Statistical Association 22, 1927): a bootstrap has
    none where all pairs point one way, which with few seeds is common. Its n is that of the
    seeds, as if all scenarios of a seed said the same: were that not so, more would be known.
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
