"""Strategies ranked over several scenarios: do they differ, and what difference is significant?

The blocks are the seeds. Scenarios share them, and with them initial weights, so scenarios are not
independent blocks: Friedman's test and Nemenyi's critical difference of means over seeds, with
scenarios as blocks (Demsar, Journal of Machine Learning Research 7, 2006), find differences where
there are none. Here strategies are ranked for each seed separately, and the labels of whole seeds
are permuted, in all scenarios at once, which is exact. The result
generalises to other seeds in these scenarios, not to other scenarios, which were not sampled.

False alarms at 5 %, per cent, of four equal strategies with five seeds (600 simulations of ours,
error 0.9; 2,000 of Friedman's): the test, and whether the critical difference separates any
strategies (``python tests/reports/statistics/simulations.py`` reproduces the numbers):

======================  ==========  ==========  ==============  ==============
scenarios, correlation  ours, test  ours, any   Friedman, test  Friedman, any
======================  ==========  ==========  ==============  ==============
3, 0.0                  6.2         3.5         1.4             0.5
3, 0.5                  4.8         4.0         17.2            7.6
3, 0.9                  4.2         4.0         66.6            41.5
10, 0.0                 4.0         3.3         4.5             5.4
10, 0.5                 5.7         4.7         79.0            79.2
10, 0.9                 6.3         5.2         98.4            98.2
======================  ==========  ==========  ==============  ==============
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palimpsest.reports.statistics.interval import CONFIDENCE, DIGITS
from palimpsest.reports.statistics.pairs import Runs

Array = NDArray[np.float64]

ENOUGH = 3
"""The minimum number of scenarios, of strategies and of seeds for a test."""

DRAWN = 9_999
"""How many permutations of labels are drawn."""

_SEED = 1937
_SLACK = 1e-9  # ranks that are equal but for rounding are equal


@dataclass(frozen=True)
class Ranks:
    """Average ranks of strategies over scenarios, and whether they differ.

    Attributes:
        average: Average rank by strategy, best first; 1 is best, ties share ranks. Each seed that
            all strategies have is ranked separately; then the mean is taken over the seeds of each
            scenario, and over scenarios.
        p: P-value of "all strategies are equal", by permutation of whole seeds; ``None`` where
            there is too little data (``ENOUGH``) or all are equal everywhere.
        critical_difference: Ranks that differ by less are not significantly different: in at most
            5 % of the permutations the highest and the lowest rank are further apart.
        groups: The largest groups of strategies that are not significantly different, by name: the
            bars of a critical-difference diagram. Best first, and never a group of one.
    """

    average: dict[str, float]
    scenarios: int
    seeds: int
    p: float | None
    critical_difference: float | None
    groups: tuple[tuple[str, ...], ...]


def rank(runs: Mapping[str, Runs]) -> Ranks:
    """Rank strategies for each seed in each scenario; greater is better.

    The statistic is Friedman's, ``sum_j (R_j - (k + 1) / 2)^2`` for the average ranks ``R_j`` of k
    strategies; its p-value is ``(b + 1) / (m + 1)`` where b of m permutations of the labels
    within each seed have one at least as large. Source: Friedman, Journal of the American
    Statistical Association 32 (1937); with one scenario it is his test.

    Args:
        runs: For each strategy its values by scenario and seed; the same scenarios for all.
    """
    names = sorted(runs)
    scenarios = sorted({scenario for own in runs.values() for scenario in own})
    blocks: dict[int, Array] = {}
    ranked = [_ranked([runs[name].get(scenario, {}) for name in names]) for scenario in scenarios]
    for own in ranked:
        for seed, ranks in own.items():
            part = ranks / (len(own) * len(scenarios))
            blocks[seed] = blocks.get(seed, np.zeros(len(names))) + part
    if not ranked or not all(ranked):
        return Ranks({}, len(scenarios), 0, None, None, ())
    table = np.array([blocks[seed] for seed in sorted(blocks)])  # (seeds, strategies)
    by_name = zip(names, table.sum(axis=0).tolist(), strict=True)
    average = dict(sorted(by_name, key=lambda item: item[1]))
    n, k = table.shape
    if min(n, k, len(scenarios)) < ENOUGH or np.ptp(table, axis=1).max() < _SLACK:
        return Ranks(average, len(scenarios), n, None, None, ())
    rng = np.random.default_rng([_SEED, n, k])
    order = rng.random((DRAWN, n, k)).argsort(axis=2)
    drawn = np.take_along_axis(np.broadcast_to(table, (DRAWN, n, k)), order, axis=2).sum(axis=1)
    least = _unlike(table.sum(axis=0)) - _SLACK
    p = (int((_unlike(drawn) >= least).sum()) + 1) / (DRAWN + 1)
    ranges = np.ptp(drawn, axis=1)
    difference = float(np.quantile(ranges, CONFIDENCE, method="higher")) + _SLACK
    return Ranks(average, len(scenarios), n, p, difference, groups(average, difference))


def groups(average: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    """Return the largest sets of strategies whose average ranks span less than a difference."""
    names = sorted(average, key=lambda name: (average[name], name))
    found: list[tuple[str, ...]] = []
    reached = 0
    for first, name in enumerate(names):
        end = first
        while end < len(names) and average[names[end]] - average[name] < difference:
            end += 1
        if end > reached and end - first > 1:
            found.append(tuple(names[first:end]))
        reached = max(reached, end)
    return tuple(found)


def _ranked(values: Sequence[Mapping[int, float | None]]) -> dict[int, Array]:
    """Ranks of the strategies in one scenario, for each seed for which all have a value."""
    from scipy.stats import rankdata

    shared = set.intersection(*({s for s, v in own.items() if v is not None} for own in values))
    seeds = sorted(shared)
    table = np.array([[own[seed] for own in values] for seed in seeds], float)
    # Rounded, so that values that are equal but for rounding share a rank.
    ranks = rankdata(-np.round(table, DIGITS), axis=1) if seeds else table
    return dict(zip(seeds, ranks, strict=True))


def _unlike(ranks: Array) -> Array:
    """Friedman's statistic: how far ranks, (..., strategies), are from all being equal."""
    found: Array = ((ranks - (ranks.shape[-1] + 1) / 2) ** 2).sum(axis=-1)
    return found
