"""What strategies that hold parameters leave for later models, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.analysis.capacity import WHOLE, capacity_frame, free_after, shares_of, told
from palimpsest.reports.analysis.quantities import QUANTITIES, interval
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.metrics import metric_column
from palimpsest.reports.tables.table import BRACKETS, Column, Row, Table
from palimpsest.reports.wording.numbers import decimals, percent

MOST = 12
"""The most layers that get a column in the report; the data have all."""

_RETENTION = ("backward_transfer", "forward_transfer")


def capacity_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show what is free after the first model and at the end, beside retention and transfer.

    Args:
        cells: One scenario's cells with finished runs.
        name: Unique in the report.

    Returns:
        The table, with all strategies for comparison; ``None`` where none tells what is free.
    """
    found = told(cells)
    if not found:
        return None
    columns = [
        Column(f"strategy, {dial_of(cell.variant for cell in cells).name}", words=True),
        Column(
            "free after the first model",
            "%",
            "share of the parameters that several models use that a later model can still change: "
            "of projections the share of the directions, of soft masks that of a step",
            percent,
        ),
        Column("free at the end", "%", "the same after the last model", percent),
        Column(
            "state per parameter and model",
            "bits",
            "what the strategy keeps, over shared parameters times models: a mask for each model "
            "is 1, an importance and an anchor that two models have in common are 32",
            decimals,
        ),
        *(metric_column(METRICS[metric]) for metric in _RETENTION),
        Column("seeds"),
    ]
    rows = [
        Row(
            [
                cell.variant.label,
                *(_after(cell, model) for model in (0, -1)),
                interval(QUANTITIES["state_bits"], cell, None),
                *(cell.interval(metric) for metric in _RETENTION),
                len(cell.done),
            ],
            cell.variant.strategy,
            (cell.variant.strategy,),
        )
        for cell in cells
    ]
    return Table(
        name,
        "Capacity, memory and transfer",
        "A dash is of strategies that do not tell what is free, such as penalties: they are here "
        "for what they keep. Backward transfer is what earlier models have gained since they had "
        "learned, so its negative is what they forgot. Forward transfer is the accuracy of a model "
        "just before its own training minus that before any. A model without a mask of its own is "
        "evaluated with all weights until then, so that of supermasks tells little. "
        f"{BRACKETS}",
        columns,
        rows,
        capacity_frame(found),
    )


def layers_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show what is free of each layer at the end.

    Args:
        cells: Of one scenario, those that stand for the strategies, with finished runs.
        name: Unique in the report.

    Returns:
        The table; ``None`` where nothing tells it, or where only one layer is shared.
    """
    found = told(cells)
    shares = [shares_of(cell) for cell in found]
    names = list(dict.fromkeys(layer for own in shares for layer in own if layer != WHOLE))
    if len(names) < 2:
        return None
    rows = [
        Row(
            [cell.variant.label, *(free_after(own.get(n, {}), -1) for n in names[:MOST])],
            strategies=(cell.variant.strategy,),
        )
        for cell, own in zip(found, shares, strict=True)
    ]
    dial = dial_of(cell.variant for cell in cells)
    return Table(
        name,
        "Free at the end, layer by layer",
        f"Weights and biases together, at the chosen {dial.plural}. {BRACKETS}"
        + (f" The first {MOST} of {len(names)} layers; the data have all." * (len(names) > MOST)),
        [
            Column(f"strategy, {dial.name}", words=True),
            *(Column(layer, "%", write=percent) for layer in names[:MOST]),
        ],
        rows,
        capacity_frame(found, by_layer=True),
    )


def _after(cell: Cell, model: int) -> Estimate:
    return free_after({record.seed: record.free_shares for record in cell.done}, model)
