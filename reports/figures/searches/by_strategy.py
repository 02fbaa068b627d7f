"""The layout of figures of searches: a row per strategy, fine-tuning in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from palimpsest.reports.analysis.searches import diverged, is_search
from palimpsest.reports.figures.drawing.canvas import WIDE, canvas
from palimpsest.reports.figures.drawing.curves import draw_curves
from palimpsest.reports.figures.drawing.marks import Mark, note_each
from palimpsest.reports.figures.drawing.rows import MARGINS, CurvesRow, draw_legend, legend_height
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell, Variant


def searches_of(cells: Sequence[Cell]) -> list[Cell]:
    """Return those with measured visits in some run, whose errors are finite."""
    return [
        cell
        for cell in cells
        if any(map(is_search, cell.done)) and diverged([cell]) < len(cell.done)
    ]


def grid_of(
    rows: Sequence[CurvesRow], columns: int, styles: Mapping[Variant, Style]
) -> tuple[Figure, list[list[Axes]]]:
    """Lay out panels, with the legend of each row at its right."""
    tall = [max(1.65, legend_height(row)) for row in rows]
    figure, grid = canvas(tall, columns, margins=MARGINS, width=WIDE, sharex="col")
    for row, axes in zip(rows, grid, strict=True):
        draw_legend(axes[-1], row, styles)
    return figure, grid


def draw_lines(ax: Axes, curves: Sequence[tuple[Style, pd.DataFrame]], marker: float = 0.0) -> None:
    """Draw curves over whole numbers, see ``draw_curves``, and fit the axes to them."""
    draw_curves(ax, curves, marker)
    ax.autoscale_view()
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5))


def draw_row(
    ax: Axes, row: CurvesRow, styles: Mapping[Variant, Style], frame: pd.DataFrame
) -> None:
    """Draw the lines of a row, each of which fades where another strategy is shown alone."""
    variants = [cell.variant for cell in (*row.compared, *row.own)]
    lines = [(styles[v], frame[frame["line"] == v.label]) for v in variants]
    drawn = [variant for variant, (_, line) in zip(variants, lines, strict=True) if len(line)]
    draw_lines(ax, [line for line in lines if len(line[1])])
    for collection in ax.collections:
        if len(collection.get_paths()) == len(drawn):
            told = isinstance(collection, LineCollection)
            note_each([Mark((v.strategy,), (v.label,) if told else ()) for v in drawn], collection)
