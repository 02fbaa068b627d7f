"""What probes without a figure of their own recorded, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.benchmark.metrics import UNBOUNDED
from palimpsest.reports.figures.figure import figures
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.runs.probes import RUN, UNCERTAINTY, recorded
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.tables.table import BRACKETS, Column, Row, Table
from palimpsest.reports.wording.numbers import decimals


def recorded_table(cells: Sequence[Cell]) -> Table | None:
    """Show the mean of each number that such a probe recorded; ``None`` where there is none."""
    shown = {UNCERTAINTY, *figures()}
    frame = pd.DataFrame(
        [
            dict(zip(RUN, (cell.scenario, cell.variant.label, record.seed), strict=True))
            | {"probe": probe}
            | row
            for cell in cells
            for record in cell.done
            for probe, told in record.probes.items()
            if probe not in shown
            for row in told.get("rows", [])
        ]
    )
    if frame.empty:
        return None
    rows = [
        Row(
            [
                cell.variant.label,
                probe,
                name,
                mean_estimate({"": recorded(cell, probe, name, {})}, UNBOUNDED),
                len(cell.done),
            ],
            cell.variant.strategy,
            (cell.variant.strategy,),
        )
        for cell in cells
        for probe, own in frame[frame["variant"] == cell.variant.label].groupby("probe")
        for name in own.select_dtypes("float").dropna(axis="columns", how="all")
    ]
    return Table(
        "What probes recorded",
        "Of probes without a figure: means over all rows of a run, such as those of its models and "
        f"blocks. The data have every row. {BRACKETS}",
        [
            Column(f"strategy, {dial_of(cell.variant for cell in cells).name}", words=True),
            Column("probe", words=True),
            Column("what", words=True),
            Column("mean", write=decimals),
            Column("seeds"),
        ],
        rows,
        frame,
    )
