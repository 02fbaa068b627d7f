"""A table as Markdown, in the form that GitHub and most other renderers accept."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from palimpsest.reports.tables.table import Column, Entry, Table

_SPACE = "\N{NO-BREAK SPACE}"
_ESCAPES = str.maketrans({"|": r"\|", "\n": " "})


def markdown(table: Table) -> str:
    """Return a table with its headings; text is aligned left, numbers right."""
    lines = [
        _line(_heading(column) for column in table.columns),
        _line("---" if column.words else "---:" for column in table.columns),
        *(_line(_text(entry) for _, entry in table.entries(row)) for row in table.rows),
    ]
    return "\n".join(lines)


def unbroken(entry: Entry, *more: str) -> str:
    """Join a number, its interval and what follows it by no-break spaces, to keep them together."""
    return _SPACE.join(part for part in (entry.text, entry.interval, *more) if part)


def folded(summary: str, text: str) -> str:
    """Return text that is shown when the reader clicks on its summary.

    The blank lines around it make GitHub and MyST read it as Markdown, tables and figures included.

    Args:
        summary: A line of plain text.
        text: Markdown.
    """
    line = escape(" ".join(summary.split()), quote=False)
    inner = text.strip("\n")
    return f"<details>\n<summary>{line}</summary>\n\n{inner}\n\n</details>\n"


def _heading(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def _text(entry: Entry) -> str:
    return f"{unbroken(entry)} {entry.note}" if entry.note else unbroken(entry)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.translate(_ESCAPES) for cell in cells)} |"
