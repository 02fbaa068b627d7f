"""How confident models are, before and after later training, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.metrics import ACCURACY, Bounds
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import UNCERTAINTY, recorded, uncertainty_frame
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.tables.metrics import counted
from palimpsest.reports.tables.table import BRACKETS, Column, Table, strategy_column, variant_row
from palimpsest.reports.wording.numbers import decimals, percent

_WEIGHTS = {"mean": "mean weights", "sampled": "average of draws"}
_MOMENTS = ("before", "after")
_NLL = Bounds(0.0, float("inf"), fraction=False)

_COLUMNS = (
    ("accuracy", "accuracy", "%", "of the test samples of all models", percent, ACCURACY),
    (
        "nll",
        "NLL",
        "nats",
        "negative log-likelihood: the mean of −log of the probability of the right class; lower is "
        "better; confident errors cost most",
        decimals,
        _NLL,
    ),
    (
        "ece",
        "calibration error",
        "%",
        "distance between predicted probability and accuracy, over 15 bins; 0 is perfect",
        percent,
        ACCURACY,
    ),
)


def uncertainty_table(cells: Sequence[Cell]) -> Table | None:
    """Show likelihood and calibration of models right after their training and at the end.

    ``None`` where no run has recorded them.
    """
    frame = uncertainty_frame(cells)
    if frame.empty:
        return None
    rows = []
    for cell in cells:
        known = set(frame["weights"][frame["variant"] == cell.variant.label])
        for weights in (each for each in _WEIGHTS if each in known):
            values = [
                counted(_mean(cell, column, moment, weights, bounds), len(cell.done))
                for column, *_, bounds in _COLUMNS
                for moment in _MOMENTS
            ]
            rows.append(variant_row(cell, [_WEIGHTS[weights], *values, len(cell.done)]))
    return Table(
        "Confidence, before and after",
        "Before: each model right after its own training; after: at the end. Means over all "
        "models, on their test samples. All other tables use mean weights. Strategies with a "
        "distribution over weights have a second row: the average of probabilities over weights "
        f"drawn from it. {BRACKETS}",
        [
            strategy_column(cells),
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


def _mean(cell: Cell, column: str, moment: str, weights: str, bounds: Bounds) -> Estimate:
    values = recorded(cell, UNCERTAINTY, column, {"moment": moment, "weights": weights})
    return mean_estimate({"": values}, bounds)
