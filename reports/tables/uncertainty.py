"""How sure models are of what they predict, before and after, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.runs.probes import UNCERTAINTY, recorded, uncertainty_frame
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.limits import ACCURACY, Limits
from palimpsest.reports.tables.metrics import counted
from palimpsest.reports.tables.table import BRACKETS, Column, Row, Table
from palimpsest.reports.wording.numbers import decimals, percent

_WEIGHTS = {"mean": "mean weights", "sampled": "average of draws"}
_MOMENTS = ("before", "after")
_NLL = Limits(0.0, float("inf"), fraction=False)

_COLUMNS = (
    ("accuracy", "accuracy", "%", "of the test samples of all models", percent, ACCURACY),
    (
        "nll",
        "NLL",
        "nats",
        "negative log-likelihood: the mean of −log of the probability of the right class; lower is "
        "better, and being sure and wrong is dear",
        decimals,
        _NLL,
    ),
    (
        "ece",
        "calibration error",
        "%",
        "how far the probability of what is predicted is from accuracy, over 15 bins; 0 is perfect",
        percent,
        ACCURACY,
    ),
)


def uncertainty_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show likelihood and calibration of models right after their training and at the end.

    Args:
        cells: One scenario's cells with finished runs.
        name: Unique in the report.

    Returns:
        The table; ``None`` where no run has recorded them.
    """
    frame = uncertainty_frame(cells)
    if frame.empty:
        return None
    known = {
        label: [weights for weights in _WEIGHTS if weights in set(own["weights"])]
        for label, own in frame.groupby("variant")
    }
    rows = [
        Row(
            [
                cell.variant.label,
                _WEIGHTS[weights],
                *(
                    counted(_mean(cell, column, moment, weights, limits), len(cell.done))
                    for column, *_, limits in _COLUMNS
                    for moment in _MOMENTS
                ),
                len(cell.done),
            ],
            cell.variant.strategy,
            (cell.variant.strategy,),
        )
        for cell in cells
        for weights in known.get(cell.variant.label, [])
    ]
    return Table(
        name,
        "Confidence, before and after",
        "Before: each model right after its own training; after: at the end. Means over all "
        "models, on their test samples. Mean weights are those that all other tables are about. "
        "Some strategies know how sure they are of their weights: of those there is also the "
        f"average of probabilities over weights that are drawn from what they know. {BRACKETS}",
        [
            Column(f"strategy, {dial_of(cell.variant for cell in cells).name}", words=True),
            Column("weights", words=True),
            *(
                Column(f"{title} {moment}", unit, meaning, write)
                for _, title, unit, meaning, write, _ in _COLUMNS
                for moment in _MOMENTS
            ),
            Column("seeds"),
        ],
        rows,
        frame,
    )


def _mean(cell: Cell, column: str, moment: str, weights: str, limits: Limits) -> Estimate:
    values = recorded(cell, UNCERTAINTY, column, {"moment": moment, "weights": weights})
    return mean_estimate({"": values}, limits)
