"""The table of a page: a row per scenario and variant, a column per quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from palimpsest.benchmark.metrics import Metric
from palimpsest.benchmark.runs.record import Dial
from palimpsest.reports.analysis.choosing.variants import label
from palimpsest.reports.analysis.quantities import QUANTITIES, SEEDS, interval
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.tables.table import Column, Noted, Row, Table, Value
from palimpsest.reports.wording.numbers import measured

STRENGTH = "strength"
"""A column that is not a quantity: the strength of a variant."""


def results_table(
    rows: Sequence[tuple[str, str, Cell]],
    quantities: Sequence[Metric | str],
    plain: Callable[[str], Cell | None],
    labels: Mapping[str, str],
) -> Table:
    """Make the table.

    Args:
        rows: Scenario, variant as written, and its runs. The rows of a scenario follow each
            other, and the first has its name. With one scenario there is no such column.
        quantities: The columns: quantities, or ``STRENGTH``.
        plain: Fine-tuning's runs in a scenario.
        labels: Names for scenarios, variants, strategies and quantities.
    """
    several = len({scenario for scenario, _, _ in rows}) > 1
    columns = [Column(labels.get("scenario", "scenario"), words=True)] if several else []
    columns.append(Column(labels.get("strategy", "strategy"), words=True))
    dial = dial_of(cell.variant for _, _, cell in rows)
    columns += [_column(quantity, labels, dial) for quantity in quantities]
    made, data = [], []
    previous = None
    for scenario, written, cell in rows:
        found = [_value(quantity, cell, plain(scenario), dial) for quantity in quantities]
        shown = labels.get(scenario, scenario) if scenario != previous else ""
        start = (
            [shown, _named(written, cell, labels)] if several else [_named(written, cell, labels)]
        )
        made.append(Row([*start, *(_noted(value, cell) for value in found)], scenario))
        data.append((scenario, cell.variant.label))
        previous = scenario
    return Table("", "", columns, made, pd.DataFrame(data))


def _column(quantity: Metric | str, labels: Mapping[str, str], dial: Dial) -> Column:
    if isinstance(quantity, str):
        return Column(labels.get(quantity, dial.name))
    title = labels.get(quantity.name, quantity.title)
    return Column(title, quantity.unit, write=measured(quantity), seeds=SEEDS)


def _value(quantity: Metric | str, cell: Cell, plain: Cell | None, dial: Dial) -> Value:
    if isinstance(quantity, str):
        own = dial_of([cell.variant]).name == dial.name  # else the heading does not say what it is
        return (cell.variant.value if own else cell.variant.setting) or None
    if quantity.name in QUANTITIES and quantity.reference == cell.variant.role:
        return None  # compared with itself
    found = interval(quantity, cell, plain)
    return found.reason or found


def _named(written: str, cell: Cell, labels: Mapping[str, str]) -> Noted | str:
    name = label(written, labels, cell.variant)
    failed = {record.seed for record in cell.failed} - {record.seed for record in cell.done}
    if not failed:
        return name
    return Noted(name, f"({len(failed)} of {len(failed) + len(cell.done)} runs failed)")


def _noted(value: Value, cell: Cell) -> Value | Noted:
    """Add how many seeds have a value, where some have none."""
    n = getattr(value, "n", None)
    return Noted(value, f"({n} of {len(cell.done)})") if n and n < len(cell.done) else value
