"""Values of curves at a step, their lowest point, and their distance from given ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from math import sqrt
from statistics import fmean

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.quantities import Values
from palimpsest.reports.runs.cells import Cell

Shape = Mapping[int, Sequence[float]]
"""Accuracies in per cent by model, one for each step that is compared."""

Point = tuple[int, float, float]
"""Model, step and accuracy in per cent."""


def at_step(cell: Cell, model: int, step: int) -> Values:
    """Return each seed's accuracy of a model at a step of the last model's training."""
    return {record.seed: _at(record, model, step) for record in cell.done}


def lowest(cell: Cell, model: int, first: int) -> Values:
    """Return each seed's lowest accuracy of a model over the first steps."""
    found: Values = {}
    for record in cell.done:
        steps, accuracy = _curve(record, model)
        early = list(takewhile(lambda point: point[0] <= first, zip(steps, accuracy, strict=True)))
        found[record.seed] = min((value for _, value in early[1:]), default=None)
    return found


def distance(cell: Cell, steps: Sequence[int], shape: Shape) -> float:
    """Return how far mean curves are from given ones, in points.

    The root mean square over models and steps of the mean over seeds minus the given value.
    Step 0 is before the training and is left out.

    Args:
        cell: The runs.
        steps: The steps at which they are compared.
        shape: The given curves, in per cent.
    """
    return distance_from_points(
        cell,
        [
            (model, step, value)
            for model, values in shape.items()
            for step, value in zip(steps, values, strict=True)
        ],
    )


def distance_from_points(cell: Cell, points: Iterable[Point]) -> float:
    """Return ``distance`` from points, whose steps may differ between models."""
    squares = [
        (100 * fmean(_at(record, model, step) for record in cell.done) - given) ** 2
        for model, step, given in points
        if step > 0
    ]
    if not squares:
        raise UserError(f"{cell.scenario!r}: no point after step 0; give at least one")
    return sqrt(fmean(squares))


def _curve(record: Record, model: int) -> tuple[Sequence[int], Sequence[float]]:
    """The steps of the last model's training and a model's accuracies at them."""
    if not record.curves:
        raise UserError(f"{record.scenario!r} has no curves; set 'curve' in the suite")
    last = record.curves[-1]
    return last["steps"], last["accuracy"][model]


def _at(record: Record, model: int, step: float) -> float:
    steps, accuracy = _curve(record, model)
    if step not in steps:
        raise UserError(
            f"the curves of {record.scenario!r} were not measured at step {step:g}, but at "
            f"{', '.join(map(str, steps[:8]))}, ..."
        )
    return float(accuracy[steps.index(step)])
