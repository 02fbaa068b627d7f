"""Measures of a search: what a visit of an architecture gains, and what others then take from it.

A row is a measured visit, see ``benchmark/search/measuring.py``, with the architecture's error
``e0`` before the visit, ``e1`` right after it and ``e2`` at the end of the epoch. A measure is a
number for each epoch, and its mean over the epochs: over ``all``, the ``early`` ones (the first
half, without the middle one) or the ``late`` ones. ``None`` where there are no rows, or an error
that is not finite. No function here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Row = Mapping[str, Any]
Rows = Sequence[Row]
Period = Literal["all", "early", "late"]

BEST = 5
"""Of so many architectures, those with the lowest error after their visit."""


def visit_forgetting(rows: Rows, period: Period = "all") -> float | None:
    """What an architecture loses until the end of the epoch: ``mean(e2 - e1)``."""
    return _mean_of_epochs(rows, period, lambda epoch: _mean(_lost(row) for row in epoch))


def best_forgetting(rows: Rows, period: Period = "all") -> float | None:
    """The same of the five architectures with the lowest ``e1`` of each epoch."""

    def best(epoch: Rows) -> float:
        return _mean(_lost(row) for row in sorted(epoch, key=lambda row: row["after"])[:BEST])

    return _mean_of_epochs(rows, period, best)


def largest_forgetting(rows: Rows, period: Period = "all") -> float | None:
    """The same of the architecture that loses most in each epoch: ``max(e2 - e1)``."""
    return _mean_of_epochs(rows, period, lambda epoch: max(map(_lost, epoch)))


def own_gain(rows: Rows, period: Period = "all") -> float | None:
    """What an architecture gains by its own visit: ``mean(e0 - e1)``."""
    return _mean_of_epochs(
        rows, period, lambda epoch: _mean(row["before"] - row["after"] for row in epoch)
    )


def end_error(rows: Rows, period: Period = "all") -> float | None:
    """The error of the visited architectures at the end of the epoch: ``mean(e2)``."""
    return _mean_of_epochs(rows, period, lambda epoch: _mean(row["end"] for row in epoch))


def early(measure: Callable[[Rows, Period], float | None]) -> Callable[[Rows], float | None]:
    """Return a measure over the first half of the epochs."""
    return _over(measure, "early")


def late(measure: Callable[[Rows, Period], float | None]) -> Callable[[Rows], float | None]:
    """Return a measure over the second half of the epochs."""
    return _over(measure, "late")


def _over(
    measure: Callable[[Rows, Period], float | None], period: Period
) -> Callable[[Rows], float | None]:
    def measured(rows: Rows) -> float | None:
        return measure(rows, period)

    measured.__doc__ = f"The same over the {period} epochs. {measure.__doc__}"
    return measured


def _lost(row: Row) -> float:
    found: float = row["end"] - row["after"]
    return found


def _mean(values: Any) -> float:
    listed = list(values)
    return float(sum(listed) / len(listed))


def _mean_of_epochs(rows: Rows, period: Period, of_epoch: Callable[[Rows], float]) -> float | None:
    if any(row[name] is None for row in rows for name in ("before", "after", "end")):
        return None
    epochs: dict[int, list[Row]] = {}
    for row in rows:
        epochs.setdefault(row["epoch"], []).append(row)
    numbers = sorted(epochs)
    half = len(numbers) // 2
    chosen = {"all": numbers, "early": numbers[:half], "late": numbers[len(numbers) - half :]}
    if not chosen[period]:
        return None
    return _mean(of_epoch(epochs[number]) for number in chosen[period])
