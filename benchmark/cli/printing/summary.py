"""The tables at the end of ``palimpsest run``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.store.store import Record, SuiteNote

if TYPE_CHECKING:
    from palimpsest.reports.formats.terminal import SummaryRow

_GAP = 2
"""Columns between two columns of a table."""

_STRATEGY, _SEEDS = "strategy", "seeds"


class Notes:
    """Remarks below a table, each once, however many cells refer to it."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """Return the mark of a remark, ``*1``; nothing for an empty remark."""
        return f"*{self._numbers.setdefault(text, len(self._numbers) + 1)}" if text else ""

    @property
    def lines(self) -> list[str]:
        """The remarks with their marks, in the order of their marks."""
        return [f"*{number} {text}" for text, number in self._numbers.items()]


def print_summary(
    records: Sequence[Record], suite: str = "", suites: Sequence[SuiteNote] = ()
) -> None:
    """Print the results of a suite, a table for each scenario.

    No name and no number is cut: names continue on the next line, the least important metrics are
    left out where there is no room, and remarks stand below. ``suite`` is its name, where there are
    several; ``suites`` give the order of scenarios and strategies.
    """
    from palimpsest.reports.formats.terminal import summary_rows

    console = table_console()
    of_suite = f"{suite}, " if suite else ""
    for scenario, members in groupby(summary_rows(records, suites), key=lambda row: row.scenario):
        rows = list(members)
        metrics = rows[0].metrics
        percentages = all(METRICS[name].is_percentage for name in metrics)
        unit = "per cent" if percentages else "per cent and perplexity"
        _print(
            console,
            f"\n{of_suite}{scenario}: {unit}, means over seeds; below [95 % interval], or "
            "(single seeds)",
        )
        _print_rows(console, rows)
    console.print()


def _print_rows(console: Console, rows: Sequence[SummaryRow]) -> None:
    everything = list(rows[0].metrics)
    seeds = max(cell_len(text) for text in (_SEEDS, *(_seeds(row, Notes()) for row in rows)))
    longest = max(cell_len(word) for row in rows for word in (_STRATEGY, *row.variant.split()))
    room = console.width - seeds - _GAP
    widths = {name: _width(rows, name) for name in everything}
    if longest + sum(width + _GAP for width in widths.values()) > room:
        widths = {name: _width(rows, name, folded=True) for name in everything}
    shown = everything[:]
    while len(shown) > 1 and longest + sum(widths[name] + _GAP for name in shown) > room:
        shown.pop()
    room -= sum(widths[name] + _GAP for name in shown)
    names = max(cell_len(text) for text in (_STRATEGY, *(row.variant for row in rows)))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column(_STRATEGY, width=max(1, min(names, room)), overflow="fold")
    for name in shown:
        title = name.replace("_", "\n")
        table.add_column(title, justify="right", width=widths[name], overflow="fold")
    table.add_column(_SEEDS, justify="right", width=seeds)
    notes = Notes()
    for row in rows:
        cells = [summary_cell(row, name, notes) for name in shown]
        table.add_row(row.variant, *cells, _seeds(row, notes))
    console.print(table, markup=False, highlight=False)
    for line in notes.lines:
        _print(console, line)
    if left_out := ", ".join(name.replace("_", " ") for name in everything[len(shown) :]):
        wider = f"Not in {console.width} columns: {left_out}."
        _print(console, f"{wider} The report and `palimpsest list runs` have every metric.")


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, overflow="fold")


def _width(rows: Sequence[SummaryRow], metric: str, *, folded: bool = False) -> int:
    """Return the width of a column that cuts no number; ``folded`` seeds take several lines."""
    lines = [line for row in rows for line in summary_cell(row, metric, Notes()).splitlines()]
    if folded:
        lines = [part for s in lines for part in (s.split(" ") if s.startswith("(") else [s])]
    return max(map(cell_len, (*metric.split("_"), *lines)))


def _seeds(row: SummaryRow, notes: Notes) -> str:
    from palimpsest.reports.wording.words import several

    mark = notes.mark(f"{several(row.failed, 'run')} failed" if row.failed else "")
    return f"{mark} {row.seeds}".lstrip()


def summary_cell(row: SummaryRow, metric: str, notes: Notes) -> str:
    """Return a mean and, below it, its uncertainty over seeds; ``notes`` takes its remarks."""
    from palimpsest.reports.wording.numbers import apart, measured, spread

    found = row.metrics[metric]
    if found.reason:
        return notes.mark(f"{METRICS[metric].title}: {found.reason}")
    if found.value is None:
        return "-"
    write = measured(METRICS[metric])
    fewer = [f"{found.n} of {row.seeds} seeds"] if found.n < row.seeds else []
    marks = [notes.mark(text) for text in (*fewer, *filter(None, [apart(found)]))]
    lines = [" ".join([*marks, write(found.value)]), spread(found, write, "")]
    if found.low is None:
        lines[1] = lines[1].replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(line for line in lines if line)
