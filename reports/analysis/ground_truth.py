"""How well a search ranks architectures: against their errors when each is trained alone.

The ranking of a search is by validation error with shared weights. The truth is the mean test
error, over seeds, of the same architectures with weights of their own. Both are what runs of the
family ``architecture_search`` keep under ``probes["search"]["ranking"]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from scipy import stats

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import Bounds, Metric
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.quantities import Values, elsewhere

Errors = Mapping[str, float]
"""The error of each architecture."""

BEST_SHARE = 0.25
"""The share of the architectures, by their truth, that ``tau_best_quarter`` looks at."""

BEST = 5
"""How many of the first in the ranking ``regret_best_five`` looks at."""


@dataclass(frozen=True)
class Truth:
    """The true errors of architectures: their mean over seeds, and those of each seed.

    Attributes:
        perplexity: Whether errors are perplexities, not shares of wrong predictions.
    """

    errors: Errors
    by_seed: Mapping[int, Errors]
    perplexity: bool

    @property
    def agreement(self) -> list[float]:
        """Kendall's tau between every two seeds: what a perfect ranking of one seed has."""
        pairs = combinations(self.by_seed.values(), 2)
        return [value for one, other in pairs if (value := tau(one, other)) is not None]


def truth_of(records: Sequence[Record]) -> Truth:
    """Return the truth from runs in which every architecture was trained alone.

    Args:
        records: Finished runs of one variant of one scenario, a seed each.

    Raises:
        UserError: There are none, a run shares weights or has no ranking, or seeds have ranked
            different architectures.
    """
    if not records:
        raise UserError("there is no finished run to take the truth from; run that suite first")
    by_seed = {}
    for record in records:
        if record.spec.scenario.settings.get("shared", True):
            raise UserError(
                f"scenario {record.scenario!r} trains architectures with shared weights; the truth "
                "comes from one with shared: false"
            )
        by_seed[record.seed] = _errors(record, "test")
    names = {frozenset(errors) for errors in by_seed.values()}
    if len(names) > 1:
        raise UserError(
            f"the seeds of scenario {records[0].scenario!r} have ranked different architectures; "
            "the truth needs the same of each seed"
        )
    (own,) = names
    mean = {name: fmean(errors[name] for errors in by_seed.values()) for name in sorted(own)}
    return Truth(mean, by_seed, bool(records[0].probes["search"].get("perplexity")))


def tau(ranked: Errors, truth: Errors) -> float | None:
    """Return Kendall's tau-b of two lists of errors; ``None`` where one of them is constant."""
    return _correlation(stats.kendalltau, ranked, truth)


def spearman(ranked: Errors, truth: Errors) -> float | None:
    """Return Spearman's rank correlation; ``None`` where one of them is constant."""
    return _correlation(stats.spearmanr, ranked, truth)


def tau_best_quarter(ranked: Errors, truth: Errors) -> float | None:
    """Return tau among the quarter of the architectures whose true errors are lowest."""
    count = math.ceil(BEST_SHARE * len(truth))
    return tau(ranked, {name: truth[name] for name in sorted(truth, key=truth.__getitem__)[:count]})


def regret(ranked: Errors, truth: Errors) -> float:
    """Return the true error of the architecture ranked first, minus the lowest there is."""
    return truth[min(truth, key=ranked.__getitem__)] - min(truth.values())


def regret_best_five(ranked: Errors, truth: Errors) -> float:
    """Return the lowest true error among the five ranked first, minus the lowest there is."""
    first = sorted(truth, key=ranked.__getitem__)[:BEST]
    return min(truth[name] for name in first) - min(truth.values())


def ranking_of(record: Record, truth: Truth) -> Errors:
    """Return how a search ranks the architectures of the truth: their validation errors.

    Raises:
        UserError: It has not ranked all of them.
    """
    ranked = _errors(record, "validation")
    missing = sorted(truth.errors.keys() - ranked)
    if missing:
        raise UserError(
            f"scenario {record.scenario!r}, seed {record.seed}: {len(missing)} architectures of "
            f"the truth are not ranked, such as {missing[0]}; both must have the same supernet"
        )
    return ranked


def expected(record: Record, truth: Truth) -> float:
    """Return the mean true error of the architectures that a run draws.

    ``sum_a p(a) error(a) / sum_a p(a)``; without a controller, all are equally likely.
    """
    ranking_of(record, truth)
    chances = {row["architecture"]: row.get("probability", 1.0) for row in ranking(record)}
    total = math.fsum(chances[name] for name in truth.errors)
    return math.fsum(chances[name] * error for name, error in truth.errors.items()) / total


def end_error(record: Record) -> float | None:
    """Return the mean validation error of the ranked architectures at the end of a search."""
    errors = _errors(record, "validation").values()
    return fmean(errors) if all(map(math.isfinite, errors)) else None


def late_reward(record: Record) -> float | None:
    """Return the mean reward of the second half of a controller's steps, without the middle one."""
    rewards = record.probes.get("search", {}).get("rewards") or []
    late = rewards[len(rewards) - len(rewards) // 2 :]
    return fmean(late) if late and None not in late else None


_CORRELATIONS = {"tau": tau, "spearman": spearman, "tau_best_quarter": tau_best_quarter}
_REGRETS = {"regret": regret, "regret_best_five": regret_best_five}
_BOUNDS = {
    **dict.fromkeys(_CORRELATIONS, Bounds(-1, 1, fraction=False)),
    **dict.fromkeys(_REGRETS, Bounds(0, math.inf, fraction=False)),
}
_OF_SEARCH = {"end_error": end_error, "late_reward": late_reward}
MEASURES = (*_CORRELATIONS, *_REGRETS, expected.__name__, *_OF_SEARCH)
"""Measures of the end of a search, by name: the functions above."""


def measured(records: Sequence[Record], measure: str, truth: Truth | None) -> tuple[Metric, Values]:
    """Return a measure of each search, by seed.

    Args:
        records: Finished runs of searches.
        measure: One of ``MEASURES``.
        truth: Of the same architectures; ``end_error`` and ``late_reward`` need none.

    Raises:
        UserError: There is no such measure, or no truth for it, or a run has not ranked the truth's
            architectures.
    """
    if measure not in MEASURES:
        raise UserError(f"no measure {measure!r} of a search; {nearest(measure, MEASURES)}")
    if measure in _OF_SEARCH:
        values = {record.seed: _OF_SEARCH[measure](record) for record in records}
    elif truth is None:
        raise UserError(f"{measure} needs a truth: give s.truth(SCENARIO) of shared: false")
    else:
        values = {record.seed: _against(truth, measure, record) for record in records}
    searches = [record.probes.get("search", {}) for record in records]
    perplexity = any(found.get("perplexity") for found in searches)
    is_rate = measure not in (*_CORRELATIONS, "late_reward") and not perplexity
    unit = ("points" if measure in _REGRETS else "%") if is_rate else ""
    bounds = _BOUNDS.get(measure, Bounds(-math.inf, math.inf, fraction=False))
    title = measure.replace("_", " ")
    return elsewhere(measure, title, unit=unit, digits=2, bounds=bounds), values


def _against(truth: Truth, measure: str, record: Record) -> float | None:
    of = (_CORRELATIONS | _REGRETS).get(measure)
    return of(ranking_of(record, truth), truth.errors) if of else expected(record, truth)


def _errors(record: Record, split: str) -> Errors:
    """The errors of a run's ranking; a perplexity that was not finite is the largest there is."""
    return {
        row["architecture"]: math.inf if row[split] is None else row[split]
        for row in ranking(record)
    }


def ranking(record: Record) -> list[dict[str, Any]]:
    """Return the architectures that a run has ranked, see ``benchmark/search/measuring.py``."""
    found = record.probes.get("search", {}).get("ranking")
    if not found:
        raise UserError(
            f"scenario {record.scenario!r}, seed {record.seed}: the run has ranked no "
            "architectures; expected one of the family architecture_search"
        )
    return list(found)


def _correlation(
    of: Callable[[list[float], list[float]], tuple[float, float]], ranked: Errors, truth: Errors
) -> float | None:
    ours, theirs = [ranked[name] for name in truth], list(truth.values())
    if len(set(ours)) < 2 or len(set(theirs)) < 2:
        return None
    return float(of(ours, theirs)[0])
