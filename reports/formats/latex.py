r"""A table as LaTeX: the numbers as the report writes them, ready for ``\input``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from reports.tables.table import Column, Entry, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line break these two would be its arguments
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\N{MINUS SIGN}": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\to$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{NO-BREAK SPACE}": "~",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
}
_ESCAPES = str.maketrans(_SPECIAL)
_NUMBERS = re.compile(r"([+−]?\d[\d.]*(?: \[[+−\d.,\s]+\])?)( \(.*)?")
_MATH = str.maketrans({"−": "-", "[": r"\ [", "\N{NO-BREAK SPACE}": " "})


def latex(table: Table) -> str:
    """Return a table as a floating ``table`` environment with a caption and a label.

    It needs the package booktabs and an engine that reads UTF-8 (all current ones do).
    """
    columns = "".join("l" if column.words else "r" for column in table.columns)
    lines = [
        r"% Needs \usepackage{booktabs} in the preamble.",
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape(_caption(table))}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row(_heading(column) for column in table.columns),
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text escaped for LaTeX."""
    return text.translate(_ESCAPES)


def _caption(table: Table) -> str:
    return f"{table.title}. {table.caption.rstrip('.')}."


def _heading(column: Column) -> str:
    r"""Stack the words of a heading: printed tables must be narrow."""
    words = [*column.title.split(), *([f"({column.unit})"] if column.unit else [])]
    if column.words or len(words) < 2:
        return escape(" ".join(words))
    stacked = r" \\ ".join(escape(word) for word in words)
    return rf"\shortstack[r]{{{stacked}}}"


def _body(table: Table) -> Iterator[str]:
    for rows in table.groups:
        yield r"\midrule"
        for row in rows:
            yield _row(_cell(column, entry) for column, entry in table.entries(row))


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(column: Column, entry: Entry) -> str:
    value = f"{entry.text} {entry.interval}".rstrip()
    numbers = not column.words and _NUMBERS.fullmatch(value)
    text = escape(value)
    if numbers:
        text = f"${numbers[1].translate(_MATH)}${escape(numbers[2] or '')}"
    return f"{text} {escape(entry.note)}" if entry.note else text
