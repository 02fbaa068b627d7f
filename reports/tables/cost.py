"""The cost of every variant, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.reports.analysis.cost import CAPTION, cost_frame
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Column, Row, Table
from palimpsest.reports.wording.numbers import decimals

_MEBI = 2**20


def cost_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show the time per step, also relative to fine-tuning, and the memory that a strategy adds.

    Args:
        cells: One scenario's cells with finished runs.
        name: Unique in the report.

    Returns:
        The table, or ``None`` where no run has recorded its cost.
    """
    frame = cost_frame(cells)
    if frame["seconds_per_step"].isna().all():
        return None
    columns = [
        Column(f"strategy, {dial_of(cell.variant for cell in cells).name}", words=True),
        Column("time per step", "ms", "while new models train, without evaluation", _milliseconds),
        Column("to fine-tuning", "ratio", "paired by seed", decimals),
        Column("after a model", "s", "such as estimating importances, per model", decimals),
        Column(
            "state",
            "MiB",
            "memory of the tensors that the strategy keeps in addition to the model, in the end",
            _mebi,
        ),
    ]
    # On a CPU the peak is that of the whole process, mostly libraries: alike for all strategies.
    on_device = not all(record.spec.on_cpu for cell in cells for record in cell.done)
    if on_device:
        columns.append(
            Column("peak on the device", "MiB", "the most memory allocated there", _whole_mebi)
        )
    done = [cell for cell in cells if cell.done]
    rows = [
        Row([
            row["variant"],
            _known(row["seconds_per_step"]),
            Estimate(
                _known(row["ratio"]), _known(row["ratio_low"]), _known(row["ratio_high"]), row["n"]
            ),
            _known(row["consolidation_seconds"]),
            _known(row["state_bytes"]),
            *([_known(row["peak_memory"])] * on_device),
        ], strategies=(cell.variant.strategy,))
        for cell, row in zip(done, frame.to_dict("records"), strict=True)
    ]  # fmt: skip
    return Table(name, "Time and memory", CAPTION, columns, rows, frame)


def _known(value: float) -> float | None:
    return None if pd.isna(value) else value


def _milliseconds(value: float) -> str:
    return f"{1000 * value:.2f}"


def _mebi(value: float) -> str:
    return f"{value / _MEBI:.2f}"


def _whole_mebi(value: float) -> str:
    return f"{value / _MEBI:.0f}"
