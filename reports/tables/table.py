"""A table of the report with everything that belongs to it, before it is set.

The report, the table files and the downloads are all made from the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pandas as pd

from reports.statistics.interval import FEWEST_SEEDS, Estimate
from reports.wording.numbers import DASH, apart, spread

Value = Estimate | float | str | None
"""What a cell holds: a number with or without its 95 % interval, words, or nothing."""

BRACKETS = (
    "In brackets 95 % intervals over seeds; in parentheses single seeds, where fewer than "
    f"{FEWEST_SEEDS} have a value."
)
"""What a caption says of the numbers of a table."""


@dataclass(frozen=True)
class Noted:
    """A value with a remark behind it, such as how many runs of it failed.

    Attributes:
        value: What the cell holds.
        note: The remark, in few words.
    """

    value: Value
    note: str


@dataclass(frozen=True)
class Entry:
    """A cell, written.

    Attributes:
        text: The value; a dash for nothing.
        interval: Its 95 % interval or its seeds, see ``numbers.spread``; may be empty.
        note: A remark, mostly empty.
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
        meaning: What it says, for the reader who has not met it; nothing where it is plain.
        write: How a number is written, such as ``percent``.
        seeds: What stands before single seeds, if no caption says it.
        words: It holds words, which stand to the left; numbers stand to the right.
    """

    title: str
    unit: str = ""
    meaning: str = ""
    write: Callable[[float], str] = str
    words: bool = False
    seeds: str = ""

    def entry(self, cell: Value | Noted) -> Entry:
        """Write one of its cells."""
        if isinstance(cell, Noted):
            entry = self.entry(cell.value)
            return replace(entry, note="; ".join(filter(None, (cell.note, entry.note))))
        if isinstance(cell, Estimate):
            return Entry(
                self._number(cell.value),
                spread(cell, self.write, self.seeds),
                apart(cell, self.write),
            )
        return Entry(cell if isinstance(cell, str) else self._number(cell))

    def _number(self, value: float | None) -> str:
        return DASH if value is None else self.write(value)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One per column; the first is the heading of the row.
        group: Rows that follow each other with the same group belong together; a line parts
            them from the others.
    """

    cells: Sequence[Value | Noted]
    group: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """One table.

    Attributes:
        name: Unique in a report; letters, digits and hyphens: a file name, and part of the
            identifiers in the report.
        title: Its heading.
        caption: What a reader has to know to read it.
        columns: Its columns; the first names the rows.
        rows: Its rows, in their order.
        data: The numbers behind it, a tidy frame; fractions.
    """

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    data: pd.DataFrame

    @property
    def groups(self) -> list[list[Row]]:
        """Rows that follow each other and belong together."""
        return [list(rows) for _, rows in groupby(self.rows, key=lambda row: row.group)]

    def entries(self, row: Row) -> list[tuple[Column, Entry]]:
        """Write a row's cells, each with its column."""
        return [
            (column, column.entry(cell))
            for column, cell in zip(self.columns, row.cells, strict=True)
        ]
