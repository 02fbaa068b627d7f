"""How much more one strategy learns than another at equal protection.

Strengths of two strategies are not comparable, but the frontiers that they trace are: at the level
``r`` of protection, A is at ``plain + r (before - plain)``, between fine-tuning and no loss.
There each strategy's B is read off its frontier: the means over seeds of fine-tuning, of the
strengths from weak to strong, and of freezing where it ran, joined by straight lines. Where these
cross a level several times, the highest B counts. The standard error of the difference is found by
a bootstrap that resamples the same seeds for both strategies (``statistics/bootstrap.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.bootstrap import seed_weights
from palimpsest.reports.statistics.interval import Estimate, student_estimate

Array = NDArray[Any]

_ENOUGH = 0.95  # of the resamples


@dataclass(frozen=True)
class Level:
    """Two strategies at one level of protection.

    Attributes:
        own: B of the first strategy, a fraction; undefined where its frontier does not reach the
            level.
        difference: B of the first minus B of the other.
    """

    share: float
    own: Estimate
    other: Estimate
    difference: Estimate


def at_equal_stability(
    own: Sequence[Cell], other: Sequence[Cell], shares: Sequence[float]
) -> list[Level]:
    """Compare two strategies of one scenario of two models.

    Args:
        own: Fine-tuning, the strategy's strengths from weak to strong, and freezing if it ran.
            A strength that lost seeds is left out.
        other: The same for the other strategy, with the same ends.
        shares: The levels: fractions of fine-tuning's loss that are removed.
    """
    seeds = sorted({r.seed for r in own[0].done} & {r.seed for r in other[0].done})
    n = len(seeds)
    if not n:
        return [Level(share, Estimate(), Estimate(), Estimate()) for share in shares]
    weights = np.vstack([np.full(n, 1 / n), seed_weights(n)])
    whole = [[cell for cell in part if _has(cell, seeds)] for part in (own, other)]
    paths = [
        (weights @ _values(part, seeds, -1, 0).T, weights @ _values(part, seeds, -1, -1).T)
        for part in whole
    ]
    before = weights @ _values(own[:1], seeds, 0, 0)[0]
    plain = paths[0][0][:, 0]
    found = []
    for share in shares:
        ours, theirs = (highest_at(a, b, plain + share * (before - plain)) for a, b in paths)
        own_b, other_b = (Estimate(_known(b[0]), n=n) for b in (ours, theirs))
        found.append(Level(share, own_b, other_b, _difference(ours - theirs, n)))
    return found


def _difference(gap: Array, n: int) -> Estimate:
    """The first gap, with the spread of the others, which are from resampled seeds."""
    value, known = _known(gap[0]), gap[1:][np.isfinite(gap[1:])]
    # An interval only where nearly every resample reaches the level, too.
    if value is None or n < 2 or len(known) < _ENOUGH * (len(gap) - 1):
        return Estimate(value, n=n)
    return student_estimate(value, float(known.std()) * sqrt(n / (n - 1)), n - 1, n)


def _has(cell: Cell, seeds: Sequence[int]) -> bool:
    return {record.seed for record in cell.done}.issuperset(seeds)


def _values(cells: Sequence[Cell], seeds: Sequence[int], i: int, j: int) -> Array:
    """An entry of the accuracy matrix by cell and seed."""
    by_seed = [{record.seed: record.accuracy_matrix[i][j] for record in c.done} for c in cells]
    return np.array([[values[seed] for seed in seeds] for values in by_seed], dtype=float)


def highest_at(a: Array, b: Array, level: Array) -> Array:
    """Return the highest B where a path (rows, points) has A at a level, NaN where it nowhere has.

    Args:
        a: A of the points, which straight lines join.
        b: B of the points.
        level: Of A, for each row.
    """
    best = np.full(len(level), np.nan)
    for i in range(a.shape[1] - 1):
        rise = a[:, i + 1] - a[:, i]
        crosses = (a[:, i] - level) * (a[:, i + 1] - level) <= 0
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = b[:, i] + (level - a[:, i]) / rise * (b[:, i + 1] - b[:, i])
        height = np.where(rise != 0, inside, np.maximum(b[:, i], b[:, i + 1]))
        best = np.fmax(best, np.where(crosses, height, np.nan))
    return best


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
