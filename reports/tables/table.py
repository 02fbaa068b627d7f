"""A table of the report as data, before it is written in some format.

The report, the table files and the downloads are all made from the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import pandas as pd

from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.statistics.interval import FEWEST_SEEDS, Estimate
from palimpsest.reports.wording.numbers import DASH, apart, spread

Value = Estimate | float | str | None
"""What a cell holds: a number with or without its 95 % interval, text, or nothing."""

BRACKETS = (
    "In brackets: 95 % intervals over seeds. In parentheses: single seeds, where fewer than "
    f"{FEWEST_SEEDS} have a value."
)
"""The sentence of a caption that explains intervals."""

MOST_COLUMNS = 12
"""The most models or layers that get a column in the report; the data have all."""


@dataclass(frozen=True)
class Noted:
    """A value with a short remark after it, such as how many of its runs failed."""

    value: Value
    note: str


@dataclass(frozen=True)
class Entry:
    """A cell as text.

    Attributes:
        text: The value; a dash where there is none.
        interval: Its 95 % interval or its seeds, see ``numbers.spread``; may be empty.
        note: A remark; usually empty.
    """

    text: str
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        unit: Of its numbers, shown under the heading.
        meaning: An explanation for the reader; empty where the title is enough.
        write: How a number is written, such as ``percent``.
        seeds: Written before the values of single seeds, if no caption explains them.
        words: Whether it holds text, which is aligned left; numbers are aligned right.
        detail: Whether the report folds it away, since few readers need it.
    """

    title: str
    unit: str = ""
    meaning: str = ""
    write: Callable[[float], str] = str
    words: bool = False
    seeds: str = ""
    detail: bool = False

    def entry(self, cell: Value | Noted) -> Entry:
        """Write one of its cells."""
        if isinstance(cell, Noted):
            entry = self.entry(cell.value)
            return replace(entry, note="; ".join(filter(None, (cell.note, entry.note))))
        if isinstance(cell, Estimate):
            return Entry(
                self._number(cell.value),
                spread(cell, self.write, self.seeds),
                cell.reason or apart(cell, self.write),
            )
        return Entry(cell if isinstance(cell, str) else self._number(cell))

    def _number(self, value: float | None) -> str:
        return DASH if value is None else self.write(value)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One per column; the first is the heading of the row.
        group: Consecutive rows with the same group belong together; a line separates them from
            the others.
        strategies: Those it is about, by their names in the report.
    """

    cells: Sequence[Value | Noted]
    group: str = ""
    strategies: tuple[str, ...] = ()


def strategy_column(cells: Sequence[Cell]) -> Column:
    """Return the column of variants: ``strategy, strength``."""
    return Column(f"strategy, {dial_of(cell.variant for cell in cells).name}", words=True)


def variant_row(cell: Cell, values: Sequence[Value | Noted], *, grouped: bool = True) -> Row:
    """Return the row of a variant, its label first.

    Args:
        cell: Its runs.
        values: The other cells of the row.
        grouped: Whether lines separate strategies.
    """
    name = cell.variant.strategy
    return Row([cell.variant.label, *values], name if grouped else "", (name,))


def first_of(count: int, noun: str = "") -> str:
    """Say in a caption that only ``MOST_COLUMNS`` of so many have a column, if so."""
    what = f"{count} {noun}".rstrip()
    return f" The first {MOST_COLUMNS} of {what}; the data have all." * (count > MOST_COLUMNS)


@dataclass(frozen=True, eq=False)
class Table:
    """One table.

    Attributes:
        caption: What a reader needs to know to read it.
        rows: Its rows, in their order; where there is none, one that says so.
        data: The numbers behind it, a tidy frame; fractions.
        name: Unique in a report, which gives it; letters, digits and hyphens: it is used in file
            names and in the identifiers of the report.
    """

    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    data: pd.DataFrame
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.columns and not self.rows:
            object.__setattr__(self, "rows", [Row(["none", *[None] * (len(self.columns) - 1)])])

    @property
    def groups(self) -> list[list[Row]]:
        """Its rows, consecutive ones of one group together."""
        return [list(rows) for _, rows in groupby(self.rows, key=lambda row: row.group)]

    def entries(self, row: Row) -> list[tuple[Column, Entry]]:
        """Write a row's cells, each with its column."""
        return [
            (column, column.entry(cell))
            for column, cell in zip(self.columns, row.cells, strict=True)
        ]
