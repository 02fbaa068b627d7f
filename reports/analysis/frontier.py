"""Frontiers in the stability-plasticity plane and the area below them.

In the plane, x is the learning accuracy of the new models and y the stability. Strength 0 of
a strategy is fine-tuning and infinite strength is freezing, so both are ends of every frontier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import Bounds
from palimpsest.benchmark.runs.record import BASELINE, LIMIT
from palimpsest.reports.analysis.remarks.breakdown import Breakdown, breakdowns
from palimpsest.reports.runs.cells import Cell, Variant, dial_of
from palimpsest.reports.statistics.bootstrap import seed_weights
from palimpsest.reports.statistics.interval import Estimate, student_estimate

X, Y = "learning_accuracy", "stability"

SMALLEST_SIDE = 0.01
"""A fraction: ends closer than one point of accuracy leave no area between them."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A variant's place in the plane: means over its seeds.

    Attributes:
        variant: The strategy and its strength.
        x: Learning accuracy of the new models; without a value for joint training of many models.
        y: Stability.
        dominated: Some other variant that is no upper bound is at least as good in both and
            better in one. Upper bounds are never marked.
    """

    variant: Variant
    x: Estimate
    y: Estimate
    dominated: bool


@dataclass(frozen=True)
class Frontier:
    """The points of one strategy, from weak to strong.

    Attributes:
        budget: How many strengths were tried, those that diverged or broke down included.
        hypervolume: Share of the rectangle between the ends that it dominates (``hypervolume``),
            its interval within 0 .. 1. ``n`` counts the seeds that all its strengths and both
            ends have. It grows with the number of strengths, so it is not computed where the
            strategies of the scenario had different numbers of them (see ``frontiers``).
    """

    strategy: str
    points: tuple[Point, ...]
    budget: int
    hypervolume: Estimate
    reason: str | None


@dataclass(frozen=True)
class Frontiers:
    """The plane of one scenario.

    Attributes:
        ends: The references that ran: fine-tuning, freezing, independent, joint.
        breakdowns: The variants that diverged or broke down. They have no point, since their
            remaining seeds are a biased sample; references have one all the same.
    """

    scenario: str
    ends: tuple[Point, ...]
    frontiers: tuple[Frontier, ...]
    breakdowns: tuple[Breakdown, ...]

    @property
    def variants(self) -> Iterator[Variant]:
        """All variants, those without a point, too."""
        yield from (point.variant for one in self.frontiers for point in one.points)
        yield from (loss.variant for loss in self.breakdowns)
        yield from (point.variant for point in self.ends)


def frontiers(cells: Sequence[Cell]) -> Frontiers:
    """Place one scenario's variants in the plane and measure their frontiers.

    Every further strength can only add to a hypervolume: the same computation fills 81.6 % of the
    rectangle with three strengths and 70.1 % with one of them. So there are hypervolumes only where
    all strategies with several strengths had equally many; a strategy with a single strength, or
    without one, has no frontier to compare with theirs.

    Args:
        cells: All cells of one scenario; those without finished runs are left out, and so are
            models that are trained by turns, of which none is earlier or new.
    """
    losses = breakdowns(cells)
    lost = {loss.variant for loss in losses if not loss.variant.is_reference}
    sound = (cell for cell in cells if cell.done and cell.variant not in lost)
    done = sorted(sound, key=lambda cell: cell.variant.order)
    points = dict(zip((cell.variant for cell in done), _points(done), strict=True))
    finetune, freeze = (
        next((cell for cell in done if cell.variant.role == role), None)
        for role in (BASELINE, LIMIT)
    )
    dial = dial_of(cell.variant for cell in cells).plural
    found = []
    in_turn = [cell for cell in done if any(record.accuracy_matrix for record in cell.done)]
    compared = [cell for cell in in_turn if not cell.variant.is_reference]
    tried = Counter(c.variant.strategy for c in cells if not c.variant.is_reference)
    budgets = {count for count in tried.values() if count > 1} or {1}
    for strategy, group in groupby(compared, key=lambda cell: cell.variant.strategy):
        members = list(group)
        reason = _unequal(tried[strategy], budgets, dial)
        area, reason = (Estimate(), reason) if reason else _area(members, finetune, freeze, dial)
        own = tuple(points[cell.variant] for cell in members)
        found.append(Frontier(strategy, own, tried[strategy], area, reason))
    ends = tuple(point for variant, point in points.items() if variant.is_reference)
    return Frontiers(cells[0].scenario, ends, tuple(found), tuple(losses))


def dominated(points: Array) -> NDArray[np.bool_]:
    """Return which points are dominated: another is at least as good in both, and better in one.

    Equal points do not dominate each other; undefined (NaN) ones neither dominate nor are
    dominated.

    Args:
        points: x and y of each, (P, 2); more is better.

    Returns:
        (P,).
    """
    other, own = points[:, None, :], points[None, :, :]
    better = (other >= own).all(axis=2) & (other > own).any(axis=2)
    return np.asarray(better.any(axis=0), dtype=bool)


def hypervolume(x: Array, y: Array, finetune: Array, freeze: Array) -> Array:
    """Return the share of the rectangle between the ends that a frontier dominates, 0 .. 1.

    The rectangle spans from the reference point (the plasticity of freezing, the stability of
    fine-tuning) to the ideal one (the plasticity of fine-tuning, the stability of freezing).
    A point dominates everything that is worse in both. 0: no better than the ends, which come
    for free. 1: one strength keeps what freezing keeps and learns what fine-tuning learns. Points
    beyond the rectangle are moved to its edge, so that a little noise beyond an end cannot
    outweigh everything where the ends are close.
    Source: the hypervolume of Zitzler & Thiele, IEEE Trans. Evolutionary Computation 3 (1999),
    scaled to the reference and ideal point.

    Args:
        x: Learning accuracy of each strength, (..., P).
        y: Stability of each strength, (..., P).
        finetune: x and y of fine-tuning, (..., 2).
        freeze: x and y of freezing, (..., 2).

    Returns:
        (...).
    """
    # Resampling may swap ends that are close together; the floor keeps shares within 0 .. 1.
    width = np.maximum(finetune[..., :1] - freeze[..., :1], 1e-9)
    height = np.maximum(freeze[..., 1:] - finetune[..., 1:], 1e-9)
    u = np.clip((x - freeze[..., :1]) / width, 0, 1)
    v = np.clip((y - finetune[..., 1:]) / height, 0, 1)
    order = np.argsort(-u, axis=-1, kind="stable")
    u, v = (np.take_along_axis(values, order, axis=-1) for values in (u, v))
    steps = -np.diff(u, axis=-1, append=0)
    area: Array = (steps * np.maximum.accumulate(v, axis=-1)).sum(axis=-1)
    return area


def hypervolume_over_seeds(table: Array) -> Estimate:
    """Return the hypervolume of means over seeds, with its interval, within 0 .. 1.

    Seeds are resampled jointly for strengths and ends. With normal noise of 1 to 4 points the
    interval covers the true value in 93 to 96 % of 2,000 simulations with 4, 5, 10 and 20 seeds
    (error 0.5; ``simulations.py``).

    Args:
        table: x and y of each strength, then of fine-tuning and freezing, by seed,
            (seeds, strengths + 2, 2).
    """
    n = len(table)
    means = (table.mean(axis=0), np.tensordot(seed_weights(n), table, axes=1))
    value, resampled = (
        hypervolume(each[..., :-2, 0], each[..., :-2, 1], each[..., -2, :], each[..., -1, :])
        for each in means
    )
    if n == 1:
        return Estimate(float(value), n=n)
    error = float(resampled.std()) * sqrt(n / (n - 1))
    return student_estimate(float(value), error, n - 1, n, Bounds(0.0, 1.0))


def _points(done: Sequence[Cell]) -> list[Point]:
    places = [[cell.interval(metric) for metric in (X, Y)] for cell in done]
    compared = [
        [np.nan if cell.variant.facts.is_bound else place.value for place in pair]
        for cell, pair in zip(done, places, strict=True)
    ]
    marks = dominated(np.array(compared, dtype=float).reshape(-1, 2))
    return [
        Point(cell.variant, x, y, bool(mark))
        for cell, (x, y), mark in zip(done, places, marks, strict=True)
    ]


def _unequal(own: int, budgets: Set[int], strengths: str) -> str | None:
    """Say why a strategy's hypervolume is not comparable, ``None`` where it is."""
    if len(budgets) > 1:
        least, most = min(budgets), max(budgets)
        return f"the strategies have {least} to {most} {strengths}, and more fill more"
    (others,) = budgets
    return None if own == others else f"the others have {others} {strengths}, and more fill more"


def _area(
    members: Sequence[Cell], finetune: Cell | None, freeze: Cell | None, strengths: str
) -> tuple[Estimate, str | None]:
    """The hypervolume with its interval, or why there is none."""
    if finetune is None or freeze is None:
        return Estimate(), "needs the ends of the frontier: fine-tuning and freezing"
    values = [_by_seed(cell) for cell in (*members, finetune, freeze)]
    seeds = sorted(set.intersection(*(set(found) for found in values)))
    if not seeds:
        return Estimate(), f"no seed that all {strengths}, fine-tuning and freezing have"
    table = np.array([[found[seed] for found in values] for seed in seeds])  # (S, P + 2, 2)
    n, mean = len(seeds), table.mean(axis=0)
    if min(mean[-2, 0] - mean[-1, 0], mean[-1, 1] - mean[-2, 1]) < SMALLEST_SIDE:
        return Estimate(n=n), (
            "fine-tuning does not learn at least one point more than freezing and keep one less"
        )
    return hypervolume_over_seeds(table), None


def _by_seed(cell: Cell) -> dict[int, tuple[float, float]]:
    found = {}
    for record in cell.done:
        x, y = record.metrics.get(X), record.metrics.get(Y)
        if x is not None and y is not None:
            found[record.seed] = (x, y)
    return found
