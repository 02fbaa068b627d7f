"""How much of the shared parameters strategies leave for later models, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.analysis.capacity import (
    WHOLE,
    capacity_frame,
    free_after,
    shares_of,
    with_capacity,
)
from palimpsest.reports.analysis.quantities import QUANTITIES, interval
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.tables.metrics import metric_column
from palimpsest.reports.tables.table import (
    BRACKETS,
    MOST_COLUMNS,
    Column,
    Table,
    Value,
    first_of,
    strategy_column,
    variant_row,
)
from palimpsest.reports.wording.numbers import decimals, percent

_RETENTION = ("backward_transfer", "forward_transfer")


def capacity_table(cells: Sequence[Cell]) -> Table | None:
    """Show the free share after the first model and at the end, with retention and transfer.

    All strategies are rows, for comparison. ``None`` where none reports its capacity.
    """
    found = with_capacity(cells)
    if not found:
        return None
    columns = [
        strategy_column(cells),
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
    rows = []
    for cell in cells:
        free = {record.seed: record.free_shares for record in cell.done}
        values: list[Value] = [
            *(free_after(free, model) for model in (0, -1)),
            interval(QUANTITIES["state_bits"], cell, None),
            *(cell.interval(metric) for metric in _RETENTION),
            len(cell.done),
        ]
        rows.append(variant_row(cell, values))
    return Table(
        "Capacity, memory and transfer",
        "A dash stands for strategies that report no capacity, such as penalties: the table shows "
        "what they keep. Backward transfer is what earlier models have gained since they had "
        "learned, so its negative is what they forgot. Forward transfer is the accuracy of a model "
        "just before its own training minus that before any. A model without a mask of its own is "
        "evaluated with all weights until then, so its value means little for supermasks. "
        f"{BRACKETS}",
        columns,
        rows,
        capacity_frame(found),
    )


def layers_table(cells: Sequence[Cell]) -> Table | None:
    """Show the free share of each layer at the end.

    ``None`` where no strategy reports it, or where only one layer is shared.
    """
    found = with_capacity(cells)
    shares = [shares_of(cell) for cell in found]
    names = list(dict.fromkeys(layer for own in shares for layer in own if layer != WHOLE))
    if len(names) < 2:
        return None
    shown = names[:MOST_COLUMNS]
    rows = [
        variant_row(cell, [free_after(own.get(n, {}), -1) for n in shown], grouped=False)
        for cell, own in zip(found, shares, strict=True)
    ]
    dial = dial_of(cell.variant for cell in cells)
    return Table(
        "Free at the end, layer by layer",
        f"Weights and biases together, at the chosen {dial.plural}. {BRACKETS}"
        f"{first_of(len(names), 'layers')}",
        [strategy_column(cells), *(Column(layer, "%", write=percent) for layer in shown)],
        rows,
        capacity_frame(found, by_layer=True),
    )
