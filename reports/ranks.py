"""Strategies ranked over several scenarios: Friedman's test and the critical difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from typing import Any

import numpy as np

from reports.statistics import CONFIDENCE

ENOUGH = 3
"""Friedman's test needs so many scenarios and so many strategies to say anything."""


@dataclass(frozen=True)
class Ranks:
    """Average ranks of strategies over scenarios, and whether they differ.

    Attributes:
        average: Average rank by strategy, best (lowest) first; 1 is best, ties share ranks.
        scenarios: Over how many scenarios.
        statistic: Friedman's chi-square, corrected for ties; ``None`` where there are too
            few scenarios or strategies (``ENOUGH``) or all are equal everywhere.
        p: Its p-value. The chi-square distribution is an approximation that is rough below
            about ten scenarios.
        critical_difference: Ranks that differ by less cannot be told apart (Nemenyi, 5 %).
        groups: Names of strategies which cannot be told apart, as large as they go: the bars
            of a critical-difference diagram. Best first, and never a group of one.
    """

    average: dict[str, float]
    scenarios: int
    statistic: float | None
    p: float | None
    critical_difference: float | None
    groups: tuple[tuple[str, ...], ...]


def rank(scores: Mapping[str, Sequence[float]]) -> Ranks:
    """Rank strategies by their means over seeds in each scenario; greater is better.

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, Journal of
    Machine Learning Research 7 (2006), section 3.2.2.

    Args:
        scores: For each strategy one score a scenario, in the same order of scenarios.
    """
    from scipy.stats import friedmanchisquare, rankdata

    names = sorted(scores)
    if not names:
        return Ranks({}, 0, None, None, None, ())
    # Rounded, so that scores that are equal but for rounding share a rank.
    table = np.round(np.array([scores[name] for name in names], dtype=float), 12)
    ranks: Any = rankdata(-table, axis=0).mean(axis=1)
    found = sorted(zip(names, ranks.tolist(), strict=True), key=lambda item: item[1])
    average = dict(found)
    k, n = table.shape
    if min(k, n) < ENOUGH or (table == table[0]).all():
        return Ranks(average, n, None, None, None, ())
    test: Any = friedmanchisquare(*table)
    difference = critical_difference(k, n)
    bars = groups(average, difference)
    return Ranks(average, n, float(test.statistic), float(test.pvalue), difference, bars)


@lru_cache
def critical_difference(strategies: int, scenarios: int) -> float:
    """Return Nemenyi's critical difference of average ranks at 5 %.

    ``q sqrt(k (k + 1) / (6 N))`` for k strategies and N scenarios, where q is the 95 % quantile
    of the Studentized range of k values, of infinite degrees of freedom, over ``sqrt(2)``.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(CONFIDENCE, strategies, inf)) / sqrt(2)
    return q * sqrt(strategies * (strategies + 1) / (6 * scenarios))


def groups(average: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    """Return the largest sets of strategies whose average ranks span less than a difference.

    Args:
        average: Average rank by strategy.
        difference: The critical difference.
    """
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
