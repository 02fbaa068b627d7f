"""The metrics of a search: what a visit of an architecture gains, and what others take from it.

A row is a measured visit (see ``benchmark/search/measuring.py``), with the architecture's error
``e0`` before the visit, ``e1`` right after it and ``e2`` at the end of the epoch. A measure is a
number for each epoch. Its metric is the mean over the epochs: ``all``, the ``early`` ones (the
first half, without the middle one) or the ``late`` ones (the second half). It is ``None`` where
there are no rows, or where an error is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from palimpsest.benchmark.metrics.metric import (
    ACCURACY,
    CHANGE,
    METRICS,
    UNBOUNDED,
    Bounds,
    Metric,
    metric,
)

Row = Mapping[str, Any]
Rows = Sequence[Row]
Period = Literal["all", "early", "late"]

BEST = 5
"""The number of architectures with the lowest error after their visit that are the best."""


_WPL = "Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, figure 4"

_OfVisits = Callable[..., float | None]


def _visits(
    meaning: str, better: Literal["higher", "lower"] = "lower", *, level: bool = False
) -> Callable[[_OfVisits], _OfVisits]:
    """Make a function two metrics, of error rates and of perplexities.

    Args:
        meaning: What it says of both.
        better: Which way is better.
        level: Whether it is an error, not the difference of two.
    """

    def add(function: _OfVisits) -> _OfVisits:
        name = function.__name__
        source = _WPL if "forgetting" in name else ""
        metric(
            meaning,
            unit="%" if level else "points",
            better=better,
            bounds=ACCURACY if level else CHANGE,
            needs=("visits",),
            source=source,
        )(function)
        METRICS[f"{name}_perplexity"] = Metric(
            f"{name}_perplexity",
            function,
            f"{meaning}, in perplexity per word",
            unit="perplexity",
            better=better,
            bounds=Bounds(1.0, math.inf) if level else UNBOUNDED,
            needs=("visits_perplexity",),
            digits=2,
            source=source,
        )
        return function

    return add


@_visits(
    "of a search: error of a visited architecture at the end of the epoch minus right after its "
    "visit"
)
def visit_forgetting(rows: Rows, period: Period = "all") -> float | None:
    """The loss of an architecture until the end of the epoch: ``mean(e2 - e1)``."""
    return _mean_of_epochs(rows, period, "visit_forgetting")


@_visits("the same over the first half of the epochs")
def early_visit_forgetting(rows: Rows) -> float | None:
    """``visit_forgetting`` over the first half of the epochs, without the middle one."""
    return visit_forgetting(rows, "early")


@_visits("the same over the second half of the epochs")
def late_visit_forgetting(rows: Rows) -> float | None:
    """``visit_forgetting`` over the second half of the epochs, without the middle one."""
    return visit_forgetting(rows, "late")


@_visits("the same of the five architectures of each epoch that were best after their visit")
def best_visit_forgetting(rows: Rows, period: Period = "all") -> float | None:
    """``visit_forgetting`` of the five architectures with the lowest ``e1`` of each epoch."""
    return _mean_of_epochs(rows, period, "best_visit_forgetting")


@_visits("the same of the architecture of each epoch that forgot most")
def largest_visit_forgetting(rows: Rows, period: Period = "all") -> float | None:
    """The largest loss of an architecture in each epoch: ``max(e2 - e1)``."""
    return _mean_of_epochs(rows, period, "largest_visit_forgetting")


@_visits("of a search: by how much a visit lowers the error of its own architecture", "higher")
def visit_gain(rows: Rows, period: Period = "all") -> float | None:
    """The gain of an architecture by its own visit: ``mean(e0 - e1)``."""
    return _mean_of_epochs(rows, period, "visit_gain")


@_visits("of a search: error of the visited architectures at the end of the epoch", level=True)
def visited_error(rows: Rows, period: Period = "all") -> float | None:
    """The error of the visited architectures at the end of the epoch: ``mean(e2)``."""
    return _mean_of_epochs(rows, period, "visited_error")


def by_epoch(rows: Rows, measure: str) -> dict[int, float] | None:
    """Return a measure of each epoch: the metric of that name is the mean of these numbers.

    Args:
        rows: The measured visits of a run.
        measure: One of ``MEASURES``.

    Returns:
        By epoch, counted from 0, in order; ``None`` where an error is not finite.
    """
    if any(row[name] is None for row in rows for name in ("before", "after", "end")):
        return None
    epochs: dict[int, list[Row]] = {}
    for row in rows:
        epochs.setdefault(row["epoch"], []).append(row)
    return {number: MEASURES[measure](epochs[number]) for number in sorted(epochs)}


def _lost(row: Row) -> float:
    found: float = row["end"] - row["after"]
    return found


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(sum(listed) / len(listed))


def _best(epoch: Rows) -> Rows:
    return sorted(epoch, key=lambda row: row["after"])[:BEST]


MEASURES: Mapping[str, Callable[[Rows], float]] = {
    "visit_forgetting": lambda epoch: _mean(map(_lost, epoch)),
    "best_visit_forgetting": lambda epoch: _mean(map(_lost, _best(epoch))),
    "largest_visit_forgetting": lambda epoch: max(map(_lost, epoch)),
    "visit_gain": lambda epoch: _mean(row["before"] - row["after"] for row in epoch),
    "visited_error": lambda epoch: _mean(row["end"] for row in epoch),
}
"""The measures of the visits of one epoch, by the names of their metrics."""


def _mean_of_epochs(rows: Rows, period: Period, measure: str) -> float | None:
    found = by_epoch(rows, measure)
    if found is None:
        return None
    numbers = list(found)
    half = len(numbers) // 2
    chosen = {"all": numbers, "early": numbers[:half], "late": numbers[len(numbers) - half :]}
    if not chosen[period]:
        return None
    return _mean(found[number] for number in chosen[period])
