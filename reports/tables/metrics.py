"""The metrics of every variant of a scenario, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.metrics import METRICS, Metric, columns
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.frames import summary_frame
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import (
    BRACKETS,
    Column,
    Noted,
    Row,
    Table,
    Value,
    strategy_column,
    variant_row,
)
from palimpsest.reports.wording.numbers import measured, percent
from palimpsest.reports.wording.words import several

MAIN = (
    "stability",
    "plasticity",
    "forgetting_reduction",
    "average_accuracy",
    "forgetting",
    "learning_accuracy",
    "minimum_accuracy",
)
"""The metrics of the main table, and of the table of runs."""

TRANSFER = ("worst_case_accuracy", "backward_transfer", "forward_transfer", "intransigence")
"""Those of the transfer table."""

_OF_VISITS = (
    "visit_forgetting",
    "visit_gain",
    "visited_error",
    "early_visit_forgetting",
    "late_visit_forgetting",
    "best_visit_forgetting",
    "largest_visit_forgetting",
)
SEARCH = (*_OF_VISITS, *(f"{name}_perplexity" for name in _OF_VISITS))
"""Those of the table of searches, of error rates or of perplexities."""

_WORST = Column(
    "learning accuracy, worst seed",
    "%",
    "the same for the worst seed; if it is far below the mean, training was unstable",
    percent,
)


def metric_column(metric: Metric) -> Column:
    """Return a metric's column: means over seeds with their intervals."""
    title = metric.title.removesuffix(f" {metric.unit}")
    return Column(title, metric.unit, metric.meaning, measured(metric))


def metrics_table(
    cells: Sequence[Cell], title: str = "Every variant", names: Sequence[str] = MAIN
) -> Table | None:
    """Show metrics of every variant of one scenario; ``None`` where its runs have none of them."""
    done = [record for cell in cells for record in cell.done]
    metrics = [METRICS[metric] for metric in columns(names, done)]
    if not metrics:
        return None
    headings = [strategy_column(cells)]
    for metric in metrics:
        headings.append(metric_column(metric))
        if metric.name == "learning_accuracy":
            headings.append(_WORST)
    summary = summary_frame(cells)
    return Table(
        title,
        f"Means over seeds, scenario {cells[0].scenario}. {BRACKETS}",
        (*headings, Column("seeds")),
        [_row(cell, metrics) for cell in cells],
        summary[summary["metric"].isin([metric.name for metric in metrics])],
    )


def _row(cell: Cell, metrics: Sequence[Metric]) -> Row:
    values: list[Value | Noted] = []
    seeds = len(cell.done)
    for metric in metrics:
        found = cell.interval(metric.name)
        values.append(counted(found, seeds))
        if metric.name == "learning_accuracy":
            values.append(found.minimum)
    failed = len(cell.failed)
    values.append(Noted(seeds, f"+\N{NARROW NO-BREAK SPACE}{failed} failed") if failed else seeds)
    return variant_row(cell, values)


def counted(found: Estimate, seeds: int) -> Value | Noted:
    """Add how many seeds have a value, where some have none."""
    few = 0 < found.n < seeds and not found.reason
    return Noted(found, several(found.n, "seed")) if few else found
