"""The cost of every variant, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.reports.analysis.cost import CAPTION, cost_frame
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Column, Table, strategy_column, variant_row
from palimpsest.reports.wording.numbers import decimals

_MEBI = 2**20


def cost_table(cells: Sequence[Cell]) -> Table | None:
    """Show the time per step, also relative to fine-tuning, and the memory that a strategy adds.

    ``None`` where no run has recorded its cost.
    """
    frame = cost_frame(cells)
    if frame["seconds_per_step"].isna().all():
        return None
    columns = [
        strategy_column(cells),
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
    data = frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = []
    for cell, row in zip(done, data, strict=True):
        ratio = Estimate(row["ratio"], row["ratio_low"], row["ratio_high"], row["n"])
        values = [row["seconds_per_step"], ratio, row["consolidation_seconds"], row["state_bytes"]]
        values += [row["peak_memory"]] * on_device
        rows.append(variant_row(cell, values, grouped=False))
    return Table("Time and memory", CAPTION, columns, rows, frame)


def _milliseconds(value: float) -> str:
    return f"{1000 * value:.2f}"


def _mebi(value: float) -> str:
    return f"{value / _MEBI:.2f}"


def _whole_mebi(value: float) -> str:
    return f"{value / _MEBI:.0f}"
