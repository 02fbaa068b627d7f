"""The tables that ``palimpsest run`` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

from benchmark.cli.console import table_console
from benchmark.store import Record, SuiteNote

if TYPE_CHECKING:
    from reports.statistics.interval import Estimate


def print_summary(
    records: Sequence[Record], suite: str = "", suites: Sequence[SuiteNote] = ()
) -> None:
    """Print the results, a table per scenario.

    Args:
        records: Of one suite.
        suite: Its name, where there are several.
        suites: What gives the order of scenarios and strategies.
    """
    from reports.formats.terminal import summary_rows
    from reports.statistics.ratio import REDUCTION

    console = table_console()
    of_suite = f"{suite}, " if suite else ""
    for scenario, members in groupby(summary_rows(records, suites), key=lambda row: row.scenario):
        rows = list(members)
        console.print(
            f"\n{of_suite}{scenario}: per cent, means over seeds; below [95 % interval], or "
            "(single seeds)"
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("strategy", no_wrap=True)
        metrics = list(rows[0].metrics)
        for title in (*metrics, "seeds"):
            table.add_column(title.replace("_", "\n"), justify="right", no_wrap=True)
        for row in rows:
            cells = [summary_cell(row.metrics[name], row.seeds) for name in metrics]
            if row.reason:
                cells[metrics.index(REDUCTION)] = "*"
            failed = f" ({row.failed} failed)" if row.failed else ""
            table.add_row(row.variant, *cells, f"{row.seeds}{failed}")
        console.print(table, markup=False, highlight=False)
        for reason in {row.reason: "" for row in rows if row.reason}:
            console.print(f"* forgetting reduction: {reason}", markup=False, highlight=False)
    console.print()


def summary_cell(found: Estimate, seeds: int) -> str:
    """Return a mean, below it its uncertainty over seeds, and how many seeds have it if not all."""
    from reports.wording.numbers import apart, spread

    if found.value is None:
        return "-"
    lines = [_percent(found.value), spread(found, _percent, "")]
    lines += [f"{found.n} of {seeds} seeds"] if found.n < seeds else []
    lines += [apart(found, _percent).replace(", ", "\n")]
    return "\n".join(line for line in lines if line)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
