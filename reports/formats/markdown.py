"""A table as Markdown, in the form that GitHub and most other readers know."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from reports.tables.table import Column, Entry, Table

_SPACE = "\N{NO-BREAK SPACE}"
_ESCAPES = str.maketrans({"|": r"\|", "\n": " "})


def markdown(table: Table) -> str:
    """Return a table with its headings; words to the left, numbers to the right."""
    lines = [
        _line(_heading(column) for column in table.columns),
        _line("---" if column.words else "---:" for column in table.columns),
        *(_line(_text(entry) for _, entry in table.entries(row)) for row in table.rows),
    ]
    return "\n".join(lines)


def unbroken(entry: Entry, *more: str) -> str:
    """Return a number, its interval and what follows it so that no line ends within.

    With spaces of full width: not every font has the narrow one of the HTML report.
    """
    parts = [entry.text, entry.interval.replace("\N{NARROW NO-BREAK SPACE}", _SPACE), *more]
    return _SPACE.join(part for part in parts if part)


def folded(summary: str, text: str) -> str:
    """Return text that a reader sees once the line with its summary is clicked.

    GitHub and MyST read what stands inside as Markdown, tables and figures too: it has a blank
    line before and behind it.

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
