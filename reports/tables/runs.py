"""Every run, as a tidy table of numbers."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.results.frame import frame
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.tables.table import Table


def runs_table(cells: Sequence[Cell]) -> Table:
    """Return the table ``runs``: a row per run, for files of data only.

    Its columns are those of ``Results.frame()``: what the run is, its metrics as fractions, its
    cost. The names of scenarios and strategies are those of the report's other tables, with
    settings added where they are ambiguous. ``dial`` names what ``strength`` is a value of; both
    are empty where the strategy has no dial. A run is ``replaced`` where a newer one has its seed.
    """
    runs = [(cell, record) for cell in cells for record in cell.runs]
    left_out = {id(record) for cell in cells for record in cell.repeated}
    data = frame([record for _, record in runs])
    data["scenario"] = [cell.scenario for cell, _ in runs]
    data["strategy"] = [cell.variant.strategy for cell, _ in runs]
    data["status"] = ["replaced" if id(r) in left_out else r.status for _, r in runs]
    dials = [None if r.strength is None else cell.variant.dial.name for cell, r in runs]
    data.insert(data.columns.get_loc("strength"), "dial", dials)
    return Table("Every run", "One row per run; metrics are fractions.", (), (), data, name="runs")
