r"""A table as LaTeX: the numbers as the report writes them, ready for ``\input``.

A table is no wider than a column of a two-column page: what has more columns is split into parts
one above another, each with the names of the rows, and what is higher than a page into several
floats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from palimpsest.reports.formats.latex_text import (
    ENGINE_ONLY,
    FONT_SIZE,
    breakable,
    broken,
    escape,
    filled,
    pieces,
    unknown,
    width,
)
from palimpsest.reports.tables.table import Column, Entry, Row, Table

WIDTH = 225.0
"""Points: the width of a table; columns of common styles have 229 (article) to 252 (IEEE)."""

_GAP = 3.0  # \tabcolsep
_LINE = 9.5
_RULE = 6.0  # with the space around it
_HEIGHT = 470.0  # points, of a float
_CAPTION_LINE, _CAPTION_LETTERS = 14.0, 42

_MOST_WORDS, _MOST_NUMBERS = 84.0, 112.0  # wider columns are broken into lines
_NUMBERS = re.compile(r"([+−]?\d[\d.]*)( \[[+−\d.,\s]+\])?( \(.*)?")
_MATH = str.maketrans({"−": "-", "\N{NO-BREAK SPACE}": " "})


def latex(table: Table) -> str:
    """Return a table as one or several floating ``table`` environments with captions and labels.

    It needs the package booktabs and an engine that reads UTF-8 (all current ones do).
    """
    columns = [_Printed(table, place) for place in range(len(table.columns))]
    rows = [(row, group) for group, rows in enumerate(table.groups) for row in rows]
    floats = _floats(table, columns, rows)
    lacking = "".join(unknown("".join([table.title, table.caption, *(c.all for c in columns)])))
    lines = [r"% Needs \usepackage{booktabs} in the preamble."]
    if lacking:
        lines += [
            f"% pdfLaTeX writes the code points of {lacking}",
            "% LuaLaTeX and XeLaTeX write the characters, if the font has them.",
            ENGINE_ONLY,
        ]
    for number, parts in enumerate(floats):
        caption = f"{table.title}. {table.caption.rstrip('.')}."
        if number:
            caption = f"{table.title}, continued."
        caption = breakable(caption, WIDTH / 3).replace(r"d\_z", "$d_z$")
        lines += [
            r"\begin{table}[htbp]",
            r"\centering\sloppy",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{table.name}{f'-{number + 1}' if number else ''}}}",
            r"\smallskip",
            rf"\fontsize{{{FONT_SIZE:g}}}{{{_LINE:g}}}\selectfont",
            rf"\setlength{{\tabcolsep}}{{{_GAP:g}pt}}",
            "\n\\par\\medskip\n".join("\n".join(part) for part in parts),
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _floats(
    table: Table, columns: Sequence[_Printed], rows: Sequence[tuple[Row, int]]
) -> list[list[list[str]]]:
    """The lines of each ``tabular`` in each float."""
    captions = ceil(len(f"{table.title}. {table.caption}") / _CAPTION_LETTERS) * _CAPTION_LINE
    floats: list[list[list[str]]] = [[]]
    room = _HEIGHT - captions
    for own in _split(columns):
        head = 3 * _RULE + _LINE * (1 + max(len(column.heading) for column in own))
        start = 0
        while start < len(rows):
            used, stop, group = head, start, rows[start][1]
            while stop < len(rows):
                place = rows[stop][1]
                used += _LINE * max(c.lines(stop) for c in own) + _RULE * (place != group)
                group = place
                if used > room and stop > start:
                    break
                stop += 1
            # A part that would begin a page further down begins there, unless it is too high.
            if floats[-1] and (used > room or stop < len(rows)):
                floats.append([])
                room = _HEIGHT - 2 * _CAPTION_LINE
                continue
            floats[-1].append(_tabular(own, rows, start, stop))
            room -= used + _LINE
            start = stop
    return floats


def _split(columns: Sequence[_Printed]) -> list[list[_Printed]]:
    """Columns that fit side by side, each time with the first."""
    first, *others = columns
    found = [[first]]
    for column in others:
        own = found[-1]
        together = sum(c.width for c in (*own, column)) + 2 * _GAP * len(own)
        if len(own) > 1 and together > WIDTH:
            found.append(own := [first])
        own.append(column)
    return found


def _tabular(
    columns: Sequence[_Printed], rows: Sequence[tuple[Row, int]], start: int, stop: int
) -> list[str]:
    layout = "".join(column.layout for column in columns)
    lines = [rf"\begin{{tabular}}{{@{{}}{layout}@{{}}}}", r"\toprule"]
    lines.append(_row([column.title for column in columns]))
    if any(column.unit for column in columns):
        lines.append(_row([column.unit for column in columns]))
    group = None
    for place in range(start, stop):
        if rows[place][1] != group:
            lines.append(r"\midrule")
        group = rows[place][1]
        lines.append(_row([column.cell(place) for column in columns]))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \tabularnewline"  # ``\\`` would only end a line of a ragged cell


@dataclass(frozen=True)
class _Printed:
    """A column as it is printed."""

    table: Table
    place: int

    @property
    def column(self) -> Column:
        return self.table.columns[self.place]

    @cached_property
    def entries(self) -> list[Entry]:
        return [self.column.entry(row.cells[self.place]) for row in self.table.rows]

    @cached_property
    def words(self) -> list[list[tuple[str, float, bool]]]:
        """Of each cell, what stays on one line: text, width in points and whether it is math."""
        return [_words(entry, self.column) for entry in self.entries]

    @cached_property
    def all(self) -> str:
        return "".join(
            [self.column.title, self.column.unit]
            + [text for cell in self.words for text, _, _ in cell]
        )

    @cached_property
    def natural(self) -> float:
        """The width of its widest cell in one line."""
        space = width(" ")
        return max(sum(w for _, w, _ in cell) + space * (len(cell) - 1) for cell in self.words)

    @cached_property
    def wrapped(self) -> bool:
        return self.natural > (_MOST_WORDS if self.column.words else _MOST_NUMBERS)

    @cached_property
    def width(self) -> float:
        heading = max(map(width, [*broken(self.column.title, _MOST_WORDS), self.column.unit]))
        if not self.wrapped:
            return max(self.natural, heading)
        parts = (
            w if math else max(map(width, pieces(text)))
            for cell in self.words
            for text, w, math in cell
        )
        return max(_MOST_WORDS, heading, *parts)

    @cached_property
    def heading(self) -> list[str]:
        return filled(broken(self.column.title, _MOST_WORDS), self.width)

    @property
    def layout(self) -> str:
        if self.wrapped:
            return f"p{{{self.width:.1f}pt}}"
        return "l" if self.column.words else "r"

    @property
    def title(self) -> str:
        stacked = r" \\ ".join(map(escape, self.heading))
        if len(self.heading) > 1:
            stacked = rf"\shortstack[{'l' if self.column.words else 'r'}]{{{stacked}}}"
        return self._aligned(stacked)

    @property
    def unit(self) -> str:
        unit = self.column.unit
        return self._aligned("$d_z$" if unit == "d_z" else escape(unit)) if unit else ""

    def lines(self, place: int) -> int:
        """How many lines a cell has."""
        if not self.wrapped:
            return 1
        count, used = 1, 0.0
        for _, wide, _ in self.words[place]:
            if used and used + wide > self.width:
                count, used = count + 1, 0.0
            parts = ceil(1.2 * wide / self.width) if wide > self.width else 1
            count, used = count + parts - 1, used + wide / parts + width(" ")
        return count

    def cell(self, place: int) -> str:
        text = " ".join(
            f"${text.translate(_MATH)}$" if math
            else breakable(text, self.width) if self.wrapped
            else escape(text)
            for text, _, math in self.words[place]
        )  # fmt: skip
        return self._aligned(text)

    def _aligned(self, text: str) -> str:
        if not self.wrapped or not text:
            return text
        return rf"\ragged{'right' if self.column.words else 'left'} {text}"


def _words(entry: Entry, column: Column) -> list[tuple[str, float, bool]]:
    value = f"{entry.text} {entry.interval}".rstrip()
    found = None if column.words else _NUMBERS.fullmatch(value)
    math, text = [], value
    if found:
        math, text = [part.strip() for part in found.groups()[:2] if part], found[3] or ""
    plain = f"{text} {entry.note}".replace("\N{NO-BREAK SPACE}", " ").split()
    return [
        *((part, width(part), True) for part in math),
        *((word, width(word), False) for word in plain),
    ]
