"""The tables that ``palimpsest run`` ends with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

from benchmark.cli.console import table_console
from benchmark.metrics import METRICS
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
        metrics = list(rows[0].metrics)
        unit = "per cent" if all(map(_is_percentage, metrics)) else "per cent and perplexity"
        console.print(
            f"\n{of_suite}{scenario}: {unit}, means over seeds; below [95 % interval], or "
            "(single seeds)"
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("strategy", no_wrap=True)
        for title in (*metrics, "seeds"):
            table.add_column(title.replace("_", "\n"), justify="right", no_wrap=True)
        for row in rows:
            cells = [
                summary_cell(
                    row.metrics[name], row.seeds, _percent if _is_percentage(name) else _perplexity
                )
                for name in metrics
            ]
            if row.reason:
                cells[metrics.index(REDUCTION)] = "*"
            failed = f" ({row.failed} failed)" if row.failed else ""
            table.add_row(row.variant, *cells, f"{row.seeds}{failed}")
        console.print(table, markup=False, highlight=False)
        for reason in {row.reason: "" for row in rows if row.reason}:
            console.print(f"* forgetting reduction: {reason}", markup=False, highlight=False)
    console.print()


def summary_cell(found: Estimate, seeds: int, write: Callable[[float], str] | None = None) -> str:
    """Return a mean, below it its uncertainty over seeds, and how many seeds have it if not all.

    Args:
        found: The mean.
        seeds: Of the row.
        write: Writes one of its values; by default in per cent.
    """
    from reports.wording.numbers import apart, spread

    write = write or _percent
    if found.value is None:
        return "-"
    lines = [write(found.value), spread(found, write, "")]
    lines += [f"{found.n} of {seeds} seeds"] if found.n < seeds else []
    lines += [apart(found, write).replace(", ", "\n")]
    return "\n".join(line for line in lines if line)


def _is_percentage(metric: str) -> bool:
    return METRICS[metric].is_percentage


def _percent(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:.1f}"  # + 0.0: no minus zero


def _perplexity(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no minus zero
