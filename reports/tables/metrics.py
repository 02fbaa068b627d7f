"""The metrics of every variant of a scenario, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.metrics import METRICS, Metric, added_metrics, columns
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.runs.frames import summary_frame
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.statistics.ratio import REDUCTION
from palimpsest.reports.tables.table import BRACKETS, Column, Noted, Row, Table, Value
from palimpsest.reports.wording.numbers import measured, percent
from palimpsest.reports.wording.words import several

MAIN = (
    "stability",
    "plasticity",
    REDUCTION,
    "average_accuracy",
    "forgetting",
    "learning_accuracy",
    "minimum_accuracy",
)
"""The metrics of the main table, and of the table of runs."""

TRANSFER = ("worst_case_accuracy", "backward_transfer", "forward_transfer", "intransigence")
"""Those of the transfer table."""

SEARCH = (
    "visit_forgetting",
    "visit_gain",
    "visited_error",
    "early_visit_forgetting",
    "late_visit_forgetting",
    "best_visit_forgetting",
    "largest_visit_forgetting",
)
"""Those of the table of searches, of error rates; of perplexities they have ``_perplexity``."""

_WORST = Column(
    "learning accuracy, worst seed",
    "%",
    "the same for the worst seed; if it is far below the mean, training was unstable",
    percent,
)


def metrics_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show what every variant keeps, learns and forgets.

    Args:
        cells: One scenario's cells.
        name: Unique in the report.

    Returns:
        The table, with the metrics that its runs can have; ``None`` where these are none.
    """
    return _table(cells, name, "Every variant", MAIN)


def transfer_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show what the models gain and lose by each other; see ``metrics_table``.

    Args:
        cells: One scenario's cells.
        name: Unique in the report.
    """
    title = "Worst case, transfer and intransigence"
    return _table(cells, name, title, TRANSFER)


def search_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show what the visits of a search gain, and what is then lost; see ``metrics_table``.

    Args:
        cells: One scenario's cells.
        name: Unique in the report.

    Returns:
        The table; ``None`` where no run was a search.
    """
    if not any(cell.done for cell in cells):
        return None
    names = [*SEARCH, *(f"{metric}_perplexity" for metric in SEARCH)]
    return _table(cells, name, "What visits gain, and what others take", names)


def added_table(cells: Sequence[Cell], name: str) -> Table | None:
    """Show the metrics of plugins, ``None`` where there are none.

    Args:
        cells: One scenario's cells.
        name: Unique in the report.
    """
    return _table(cells, name, "Metrics of plugins", [metric.name for metric in added_metrics()])


def metric_column(metric: Metric) -> Column:
    """Return a metric's column: means over seeds with their intervals."""
    title = metric.title.removesuffix(f" {metric.unit}")
    return Column(title, metric.unit, metric.meaning, measured(metric))


def _table(cells: Sequence[Cell], name: str, title: str, names: Sequence[str]) -> Table | None:
    done = [record for cell in cells for record in cell.done]
    metrics = [METRICS[metric] for metric in columns(names, done)]
    if not metrics:
        return None
    dial = dial_of(cell.variant for cell in cells)
    headings = [Column(f"strategy, {dial.name}", words=True)]
    for metric in metrics:
        headings.append(metric_column(metric))
        if metric.name == "learning_accuracy":
            headings.append(_WORST)
    summary = summary_frame(cells)
    return Table(
        name,
        title,
        f"Means over seeds, scenario {cells[0].scenario}. {BRACKETS}",
        (*headings, Column("seeds")),
        [_row(cell, metrics) for cell in cells],
        summary[summary["metric"].isin([metric.name for metric in metrics])],
    )


def _row(cell: Cell, metrics: Sequence[Metric]) -> Row:
    values: list[Value | Noted] = [cell.variant.label]
    seeds = len(cell.done)
    for metric in metrics:
        if metric.name == REDUCTION:
            values.append(_removed(cell))
            continue
        found = cell.interval(metric.name)
        values.append(counted(found, seeds))
        if metric.name == "learning_accuracy":
            values.append(found.minimum)
    failed = len(cell.failed)
    values.append(Noted(seeds, f"+\N{NARROW NO-BREAK SPACE}{failed} failed") if failed else seeds)
    return Row(values, cell.variant.strategy, (cell.variant.strategy,))


def _removed(cell: Cell) -> Value | Noted:
    share, reason = cell.removed.share, cell.removed.reason
    return Noted(None, reason) if reason else counted(share, len(cell.done))


def counted(found: Estimate, seeds: int) -> Value | Noted:
    """Add how many seeds have a value, where some have none.

    Args:
        found: Of the seeds that have one.
        seeds: How many there are.
    """
    return Noted(found, several(found.n, "seed")) if 0 < found.n < seeds else found
