"""The forgetting of each model, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from palimpsest.benchmark.metrics import forgetting_by_model
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.limits import CHANGE
from palimpsest.reports.tables.table import BRACKETS, Column, Row, Table
from palimpsest.reports.wording.numbers import percent

MOST = 12
"""The most models that get a column in the report; the data have all."""


def forgetting_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show how much of its best accuracy each earlier model has lost at the end.

    See ``metrics.forgetting_by_model``.

    Args:
        cells: Of one scenario, those that stand for the strategies, with finished runs.
        name: Unique in the report.

    Returns:
        The table, or ``None`` with fewer than two earlier models, where the mean says it all.
    """
    models = max((len(cell.done[0].accuracy_matrix) for cell in cells), default=0)
    if models < 3:
        return None
    rows, data = [], []
    for cell in cells:
        by_seed = [forgetting_by_model(record.accuracy_matrix) for record in cell.done]
        lost = [_estimate(cell, values) for values in np.transpose(by_seed)]
        own = (cell.variant.strategy,)
        rows.append(Row([cell.variant.label, *lost[:MOST]], strategies=own))
        data += [
            (cell.scenario, cell.variant.label, j, found.n, found.value, found.low, found.high)
            for j, found in enumerate(lost, 1)
        ]
    dial = dial_of(cell.variant for cell in cells)
    shown = min(models - 1, MOST)
    write = partial(percent, signed=True)
    columns = [Column(f"model {j}", "points", write=write) for j in range(1, shown + 1)]
    return Table(
        name,
        "Forgetting, model by model",
        "Loss of each earlier model from its best accuracy to its final one, at the "
        f"chosen {dial.plural}; negative where it gained. {BRACKETS}"
        + (f" The first {shown} of {models - 1}; the data have all." * (shown < models - 1)),
        [Column(f"strategy, {dial.name}", words=True), *columns],
        rows,
        pd.DataFrame(
            data, columns=["scenario", "variant", "model", "seeds", "forgetting", "low", "high"]
        ),
    )


def _estimate(cell: Cell, lost: Iterable[float]) -> Estimate:
    by_seed = zip(cell.done, lost, strict=True)
    values = {run.seed: None if np.isnan(value) else float(value) for run, value in by_seed}
    return mean_estimate({cell.scenario: values}, CHANGE)
