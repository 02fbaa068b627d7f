"""The layout of variants in rows: one strategy per row, never too many variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from palimpsest.benchmark.runs.record import BASELINE
from palimpsest.reports.figures.drawing.canvas import Margins
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell, Variant

MARGINS = Margins(right=2.0, top=0.28, across=0.4, down=0.3)  # the legend is on the right

ROW = 6
"""The most variants in one row of a figure."""

_LINE = 0.15  # inches: the height of a line of text
_KEY = 24  # letters per line of a name in a legend


@dataclass(frozen=True)
class CurvesRow:
    """A row of panels.

    Attributes:
        own: The variants of the row.
        compared: Fine-tuning, unless it is in the row itself.
        title: The strategy, if all variants are of one; the labels are then their settings.
        labels: The labels of ``own`` and ``compared``.
    """

    own: Sequence[Cell]
    compared: Sequence[Cell]
    title: str | None
    labels: Sequence[str]


def rows_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Lay variants out: a row for each strategy with several strengths, the others together."""
    alone: list[Cell] = []
    rows: list[list[Cell]] = []
    for _, members in groupby(cells, key=lambda cell: cell.variant.strategy):
        row = list(members)
        if len(row) == 1:
            alone += row
        else:
            rows += _chunks(row)
    if len(alone) + sum(map(len, rows)) <= ROW:
        return [list(cells)]
    return [*_chunks(alone), *rows]


def _chunks(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [list(cells[start : start + ROW]) for start in range(0, len(cells), ROW)]


def compared_rows(shown: Sequence[Cell]) -> list[CurvesRow]:
    """Lay out variants of one scenario: a row per strategy, with fine-tuning in each."""
    plain = [cell for cell in shown if cell.variant.role == BASELINE]
    rows = rows_of(shown) if shown else []
    return [_row(own, plain if len(rows) > 1 and not set(plain) & set(own) else []) for own in rows]


def _row(own: Sequence[Cell], compared: Sequence[Cell]) -> CurvesRow:
    variants = [cell.variant for cell in own]
    title, labels = None, [variant.label for variant in variants]
    if len(own) > 1 and len({variant.strategy for variant in variants}) == 1:
        title = variants[0].strategy
        labels = [v.strategy if v.strength is None else v.setting for v in variants]
    return CurvesRow(own, compared, title, [*labels, *(c.variant.label for c in compared)])


def _legend_texts(row: CurvesRow) -> tuple[str | None, list[str]]:
    title = None if row.title is None else wrapped(row.title, _KEY)
    return title, [wrapped(label, _KEY) for label in row.labels]


def legend_height(row: CurvesRow) -> float:
    """Return how high the legend beside a row is, in inches."""
    title, labels = _legend_texts(row)
    texts = [*labels, *([title] if title else [])]
    return sum(0.06 + _LINE * (text.count("\n") + 1) for text in texts)


def draw_legend(ax: Axes, row: CurvesRow, styles: Mapping[Variant, Style]) -> None:
    """Draw the legend of a row on the right of its last panel."""
    looks = [styles[cell.variant] for cell in (*row.own, *row.compared)]
    handles = [Line2D([], [], color=look.color, linestyle=look.linestyle) for look in looks]
    title, labels = _legend_texts(row)
    ax.legend(
        handles, labels, title=title, loc="upper left", bbox_to_anchor=(1.02, 1.05),
        borderaxespad=0, alignment="left",
    )  # fmt: skip
