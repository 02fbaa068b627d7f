"""Two variants compared pair by pair: the same scenario, the same seed.

Runs with the same seed share their initial weights and batches, so that pairs remove what
both have in common. Every comparison has the size of the difference beside the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import lgamma, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.bootstrap import Estimate, mean_estimate
from reports.statistics import CONFIDENCE

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[int, float | None]]
"""Values of a variant by scenario and seed; ``None`` where the metric is not defined."""

SIGN_FLIP, WILCOXON = "exact sign-flip permutation test", "Wilcoxon signed-rank test"
EXACT_PAIRS = 12
"""Up to so many pairs every one of the 2^n ways to flip signs is gone through."""

_DIGITS = 12  # differences are rounded to so many: what is left is rounding, not a difference


@dataclass(frozen=True)
class Comparison:
    """How one variant differs from another, over pairs of runs.

    Attributes:
        difference: Mean over scenarios of the mean difference (ours minus theirs), with the
            interval of ``bootstrap.mean_estimate``; its ``n`` counts the pairs.
        test: Which test ``p`` is of, ``None`` where there is none (below two pairs, or a
            scenario without pairs).
        p: Two-sided p-value, before any correction.
        p_holm: After Holm's correction, where a family was corrected.
        effect: Mean difference in standard deviations of the differences (``effect_size``).
        rank_biserial: Matched-pairs rank-biserial correlation, -1 .. 1.
        improvement: Share of the pairs in which ours is greater, ties counted half.
    """

    difference: Estimate
    test: str | None
    p: float | None
    p_holm: float | None
    effect: float | None
    rank_biserial: float | None
    improvement: Estimate

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that so many pairs can give; see ``smallest_p``."""
        return smallest_p(self.difference.n)


def compare(ours: Runs, theirs: Runs) -> Comparison:
    """Compare two variants over the scenarios and seeds which both have values of.

    The test: up to ``EXACT_PAIRS`` pairs, the exact sign-flip permutation test of the mean
    over scenarios (Fisher, The Design of Experiments, 1935), else the Wilcoxon signed-rank
    test of all pairs without those that are equal. Both ask whether the differences are
    symmetric around zero in every scenario.

    Args:
        ours: Values of the variant in question.
        theirs: Values of the variant it is compared with.
    """
    pairs = {name: _differences(ours, theirs, name) for name in sorted({*ours, *theirs})}
    difference = mean_estimate({name: list(values) for name, values in pairs.items()})
    improvement = _improvement(pairs)
    if difference.value is None or difference.n < 2:
        return Comparison(difference, None, None, None, None, None, improvement)
    values = np.concatenate(list(pairs.values()))
    weights = np.concatenate([np.full(d.size, 1 / d.size) for d in pairs.values()])
    exact = values.size <= EXACT_PAIRS
    p = _sign_flip(values * weights) if exact else _wilcoxon(values)
    test = SIGN_FLIP if exact else WILCOXON
    effect, rank = effect_size(values), rank_biserial(values)
    return Comparison(difference, test, p, None, effect, rank, improvement)


def smallest_p(pairs: int) -> float:
    """Return the smallest two-sided p-value that so many pairs can give: ``2^(1 - n)``.

    Of all ``2^n`` ways to flip signs, two are as extreme as all pairs pointing one way. Below
    six pairs it is above 0.05: no test can reach 5 %. (With normal differences a t-test could;
    neither test here assumes that.)
    """
    return float(min(1.0, 2.0 ** (1 - pairs)))


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


def effect_size(differences: Array) -> float | None:
    """Return Cohen's ``d_z = mean / s`` of differences, times Hedges' small-sample correction.

    ``J = G(f/2) / (sqrt(f/2) G((f - 1)/2))``, ``f = n - 1``, G the gamma function. Over several
    scenarios ``s`` holds the differences between them, too. Sources: Cohen, Statistical Power
    Analysis (1988), section 2.3.5; Hedges, J. Educational Statistics 6 (1981).

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


def _differences(ours: Runs, theirs: Runs, scenario: str) -> Array:
    """Differences of the pairs of a scenario, sorted: the order of seeds must not matter."""
    mine, other = ours.get(scenario, {}), theirs.get(scenario, {})
    found = [
        a - b
        for seed, a in mine.items()
        if a is not None and (b := other.get(seed)) is not None
    ]  # fmt: skip
    return np.sort(np.round(np.array(found, dtype=float), _DIGITS))


def _improvement(pairs: Mapping[str, Array]) -> Estimate:
    """Probability of improvement, P(ours > theirs) + P(equal) / 2, within pairs of one seed.

    The mean over scenarios, as in Agarwal et al., NeurIPS 2021, who compare every run with
    every other; here only runs of the same seed, since they are paired in everything else.
    With Wilson's interval for a share of n pairs (J. Am. Statistical Association 22, 1927):
    a bootstrap has none where all pairs point one way, which with few seeds is common.
    """
    from scipy.special import ndtri

    n = sum(d.size for d in pairs.values())
    if not pairs or not all(d.size for d in pairs.values()):
        return Estimate(None, None, None, n)
    share = float(np.mean([(np.sign(d).mean() + 1) / 2 for d in pairs.values()]))
    if n < 2:
        return Estimate(share, None, None, n)
    square = float(ndtri((1 + CONFIDENCE) / 2)) ** 2 / n
    center = (share + square / 2) / (1 + square)
    half = sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return Estimate(share, max(0.0, center - half), min(1.0, center + half), n)


def _sign_flip(weighted: Array) -> float:
    """Share of all ways to flip signs whose sum is at least as far from zero."""
    sums = np.abs(_signs(weighted.size) @ weighted)
    # The slack is for sums that are equal but for rounding.
    return float((sums >= abs(weighted.sum()) - 10.0**-_DIGITS).mean())


@lru_cache
def _signs(n: int) -> Array:
    """Every way to give n values signs, (2^n, n)."""
    return np.array(list(product((1.0, -1.0), repeat=n)))


def _wilcoxon(values: Array) -> float:
    from scipy.stats import wilcoxon

    unequal = values[values != 0]
    return float(wilcoxon(unequal).pvalue) if unequal.size else 1.0
