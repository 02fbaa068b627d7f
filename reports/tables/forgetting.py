"""The forgetting of each model, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from palimpsest.benchmark.metrics import CHANGE, forgetting_by_model
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.tables.table import (
    BRACKETS,
    MOST_COLUMNS,
    Column,
    Table,
    first_of,
    strategy_column,
    variant_row,
)
from palimpsest.reports.wording.numbers import percent


def forgetting_table(cells: Sequence[Cell]) -> Table | None:
    """Show how much of its best accuracy each earlier model has lost (``forgetting_by_model``).

    ``None`` with fewer than two earlier models, where the mean says it all.
    """
    models = max((len(cell.done[0].accuracy_matrix) for cell in cells), default=0)
    if models < 3:
        return None
    rows, data = [], []
    for cell in cells:
        by_seed = [forgetting_by_model(record.accuracy_matrix) for record in cell.done]
        lost = [_estimate(cell, values) for values in np.transpose(by_seed)]
        rows.append(variant_row(cell, lost[:MOST_COLUMNS], grouped=False))
        name = cell.scenario, cell.variant.label
        data += [(*name, j, found.n, *found.ends) for j, found in enumerate(lost, 1)]
    dial = dial_of(cell.variant for cell in cells)
    shown = min(models - 1, MOST_COLUMNS)
    write = partial(percent, signed=True)
    columns = [Column(f"model {j}", "points", write=write) for j in range(1, shown + 1)]
    return Table(
        "Forgetting, model by model",
        "Loss of each earlier model from its best accuracy to its final one, at the "
        f"chosen {dial.plural}; negative where it gained. {BRACKETS}{first_of(models - 1)}",
        [strategy_column(cells), *columns],
        rows,
        pd.DataFrame(
            data, columns=["scenario", "variant", "model", "seeds", "forgetting", "low", "high"]
        ),
    )


def _estimate(cell: Cell, lost: Iterable[float]) -> Estimate:
    by_seed = zip(cell.done, lost, strict=True)
    values = {run.seed: None if np.isnan(value) else float(value) for run, value in by_seed}
    return mean_estimate({cell.scenario: values}, CHANGE)
