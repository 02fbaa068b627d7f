"""Measures of searches over their epochs, as tidy frames; see ``benchmark/search/measuring.py``.

Error rates are fractions, and perplexities are perplexities per word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import pandas as pd

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import Metric
from palimpsest.benchmark.metrics.search import Rows, by_epoch
from palimpsest.benchmark.runs.record import BASELINE
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.ground_truth import Truth, ranking_of, truth_of
from palimpsest.reports.analysis.quantities import quantity_named
from palimpsest.reports.runs.cells import Cell

FORGETTING, GAIN, END = "visit_forgetting", "visit_gain", "visited_error"

_SAME = ("family", "data", "supernet", "pixels", "words")
"""Settings that a truth shares with the searches that it is the truth of."""

_POINTS = 60
"""The most points of a curve of rewards, unless another number is asked for."""


def is_search(record: Record) -> bool:
    """Whether a run has measured visits of a search."""
    return bool(visits_of(record))


def visits_of(record: Record) -> Rows:
    """Return the measured visits of a run; empty where it was no search."""
    return record.visits or record.visits_perplexity


def in_perplexity(cells: Sequence[Cell]) -> bool:
    """Whether the errors of searches are perplexities.

    Raises:
        UserError: A variant has no finished run of a search, or some are perplexities and others
            are error rates.
    """
    found = set()
    for cell in cells:
        searches = [record for record in cell.done if is_search(record)]
        if not searches:
            raise UserError(
                f"scenario {cell.scenario!r}, {cell.variant.label}: no finished run has measured "
                "visits; expected a search of the family architecture_search"
            )
        found |= {bool(record.visits_perplexity) for record in searches}
    if len(found) > 1:
        raise UserError(
            "error rates and perplexities cannot be in one figure or ratio; choose scenarios of "
            "one kind of data"
        )
    return found.pop()


def measure_of(measure: str, cells: Sequence[Cell]) -> Metric:
    """Return a measure of visits as the quantity that these searches have."""
    return quantity_named(f"{measure}_perplexity" if in_perplexity(cells) else measure)


def epochs_frame(cell: Cell, measures: Sequence[str], block: int = 1) -> pd.DataFrame:
    """Return measures of visits by epoch: one row per measure, seed and block of epochs.

    Args:
        cell: Searches.
        measures: Of ``palimpsest.benchmark.metrics.search.MEASURES``.
        block: How many epochs are averaged to a number; the last block may be shorter.

    Returns:
        Columns measure, seed, x (the mean number of the block's epochs, the first of which is 1)
        and value. Runs with an error that is not finite are left out.
    """
    rows = [
        (measure, record.seed, 1 + x, value)
        for record in cell.done
        for measure in measures
        for x, value in _blocks(by_epoch(visits_of(record), measure) or {}, block)
    ]
    return pd.DataFrame(rows, columns=["measure", "seed", "x", "value"])


def diverged(cells: Sequence[Cell]) -> int:
    """Count the runs that have an error that is not finite, so that they have no curve."""
    searches = [record for cell in cells for record in cell.done if is_search(record)]
    return sum(by_epoch(visits_of(record), FORGETTING) is None for record in searches)


def rewards_of(record: Record) -> list[float]:
    """Return the mean reward of each step of a search's controller; empty without one."""
    return list(record.probes.get("search", {}).get("rewards") or [])


def rewards_block(cells: Sequence[Cell]) -> int:
    """Return how many steps make a point of a readable curve."""
    most = max((len(rewards_of(record)) for cell in cells for record in cell.done), default=0)
    return max(1, ceil(most / _POINTS))


def rewards_frame(cell: Cell, block: int) -> pd.DataFrame:
    """Return the rewards of controllers: one row per seed and block of steps.

    Args:
        cell: Searches.
        block: How many steps are averaged to a number; the last block may be shorter.

    Returns:
        Columns seed, x (the mean number of the block's steps, the first of which is 1) and value.
    """
    rows = [
        (record.seed, 1 + x, value)
        for record in cell.done
        for x, value in _blocks(dict(enumerate(rewards_of(record))), block)
    ]
    return pd.DataFrame(rows, columns=["seed", "x", "value"])


def truth_for(
    cells: Sequence[Cell], searches: Sequence[Cell]
) -> tuple[str, Truth, list[Cell]] | None:
    """Find the true errors of the architectures of some searches among all runs.

    Args:
        cells: All of a report.
        searches: Finished searches of one scenario.

    Returns:
        The scenario that trains the same architectures alone on the same data with fine-tuning,
        the truth, of several scenarios the one that trains them longest, and the searches whose
        finished runs all have ranked these architectures. ``None`` without one of these.
    """
    found = [
        cell
        for cell in cells
        if cell.variant.role == BASELINE and cell.done and _alone(cell.done[0], searches[0].done[0])
    ]
    for cell in sorted(found, key=lambda cell: -_settings(cell.done[0]).get("steps", 0)):
        try:
            truth = truth_of(cell.done)
        except UserError:  # its seeds have trained different architectures
            continue
        ranked = [own for own in searches if _has_ranked(own, truth)]
        return (cell.scenario, truth, ranked) if ranked else None
    return None


def _has_ranked(cell: Cell, truth: Truth) -> bool:
    try:
        return all(ranking_of(record, truth) for record in cell.done)
    except UserError:
        return False


def _alone(truth: Record, search: Record) -> bool:
    """Whether a run trains alone what a search ranks: the same supernet on the same data."""
    ours, theirs = _settings(truth), _settings(search)
    if ours.get("shared", True) or not theirs.get("shared", True):
        return False
    return all(ours.get(name) == theirs.get(name) for name in _SAME)


def _settings(record: Record) -> Mapping[str, Any]:
    return record.spec.scenario.settings


def _blocks(values: Mapping[int, float], block: int) -> Iterator[tuple[float, float]]:
    """Yield the mean place and the mean value of each block of neighbours."""
    if block < 1:
        raise UserError(f"block is {block}; expected 1 or more")
    pairs: list[Any] = list(values.items())
    for start in range(0, len(pairs), block):
        places, own = zip(*pairs[start : start + block], strict=True)
        yield sum(places) / len(places), sum(own) / len(own)
