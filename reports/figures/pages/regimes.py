"""A map over two settings: the loss of A and the accuracy of B in every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.quantities import LOST, QUANTITIES, interval
from palimpsest.reports.analysis.remarks.instability import last_is_unstable
from palimpsest.reports.figures.drawing.canvas import WIDTH
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.collapse import GAP
from palimpsest.reports.wording.numbers import percent

_HEIGHT, _LEFT, _BAR = 0.66, 1.35, 0.75  # inches: of a cell and around the map

_LETTER = 0.08  # inches: the width of a letter of a title

Position = tuple[str, str]
"""Row and column."""


def regimes_plot(
    cells: Mapping[Position, Cell],
    rows: Sequence[str],
    columns: Sequence[str],
    titles: Mapping[str, str],
    top: float | None = None,
) -> Plot:
    """Make the map.

    Args:
        cells: The runs of each position; positions without runs stay empty.
        rows: From top to bottom.
        columns: From left to right.
        titles: Names of rows and columns for the reader.
        top: Points at the top of the colour scale; taken from the losses where ``None``.

    Raises:
        UserError: No position has runs, or A loses more than ``top`` somewhere.
    """
    if not cells:
        raise UserError("map: no cell has a scenario; name one for each row and column")
    losses = {place: interval(LOST, cell, None) for place, cell in cells.items()}
    seconds = {place: interval(QUANTITIES["second"], cell, None) for place, cell in cells.items()}
    unstable = {place for place, cell in cells.items() if last_is_unstable(cell)}
    most = max([found.value for found in losses.values() if found.value is not None], default=0.0)
    if top is not None and 100 * most > top + 1e-9:
        raise UserError(
            f"map: the colour scale ends at {top:g} points, and A loses up to "
            f"{100 * most:.1f}; give a higher top"
        )
    high = max(10.0, 10 * np.ceil(10 * most)) if top is None else top

    def draw() -> Figure:
        above = max(4, int((WIDTH - _LEFT - _BAR) / len(columns) / _LETTER))
        beside = int(_LEFT / _LETTER) - 1
        top = 0.17 + 0.15 * lines_of((titles.get(c, c) for c in columns), above)
        height = top + _HEIGHT * len(rows) + 0.12
        figure = Figure(figsize=(WIDTH, height))
        right = _BAR / WIDTH
        ax = figure.add_axes(
            (_LEFT / WIDTH, 0.12 / height, 1 - _LEFT / WIDTH - right, 1 - (top + 0.12) / height)
        )
        colors, norm = mpl.colormaps["YlOrBr"], mpl.colors.Normalize(0, 1.15 * high)
        ax.set_facecolor("#f1f1f1")
        for (row, column), cell in cells.items():
            x, y = columns.index(column), rows.index(row)
            loss, second = losses[row, column], seconds[row, column]
            shade = colors(norm(100 * max(0.0, loss.value or 0.0)))
            rough = (row, column) in unstable
            ax.add_patch(
                Rectangle(
                    (x, y), 1, 1, facecolor=shade if cell.done else "#eeeeee", linewidth=0,
                    edgecolor="#00000030", hatch="////" if rough else None,
                )
            )  # fmt: skip
            dark = 0.3 * shade[0] + 0.59 * shade[1] + 0.11 * shade[2] < 0.5
            ink = "white" if dark and cell.done else INK
            failed = {r.seed for r in cell.failed} - {r.seed for r in cell.done}
            lines = [f"B {percent(second.value)}, worst {percent(second.minimum)}"]
            lines += [f"{len(failed)} failed"] if failed else []
            if len(columns) > 5:
                lines = ", ".join(lines).split(", ")
            if rough:  # text on hatching is hard to read
                ax.add_patch(
                    Rectangle((x + 0.16, y + 0.1), 0.68, 0.82, facecolor=shade, linewidth=0)
                )
            ax.text(
                x + 0.5, y + 0.3, percent(loss.value), ha="center", va="center",
                fontsize=10.5, color=ink, fontweight="bold",
            )  # fmt: skip
            ax.text(
                x + 0.5, y + 0.68, "\n".join(lines), ha="center", va="center", fontsize=7.6,
                color=ink, linespacing=1.15,
            )  # fmt: skip
        ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
        ax.set_xticks(np.arange(len(columns)) + 0.5, [_title(c, titles, above) for c in columns])
        ax.set_yticks(np.arange(len(rows)) + 0.5, [_title(r, titles, beside) for r in rows])
        ax.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=8.5)
        ax.spines[:].set_visible(False)
        for edge in range(1, len(columns)):
            ax.axvline(edge, color="white", linewidth=1.5)
        for edge in range(1, len(rows)):
            ax.axhline(edge, color="white", linewidth=1.5)
        _bar(figure, mpl.cm.ScalarMappable(norm, colors), high, len(rows))
        return figure

    how = (
        "In every cell: what A loses (bold, points; more is darker), B’s mean accuracy and that of "
        "its worst seed, %."
    )
    if unstable:
        how += (
            " Hatched: runs failed, or some seeds of B are far below all others (a gap of more "
            f"than {100 * GAP:.0f} points); there training is unstable, and what looks like "
            "forgetting may be that."
        )
    return Plot(
        "",
        how,
        f"Map of what A loses, {len(rows)} rows ({', '.join(titles.get(r, r) for r in rows)}) by "
        f"{len(columns)} columns ({', '.join(titles.get(c, c) for c in columns)})",
        pd.DataFrame(
            [
                (*place, losses[place].value, seconds[place].value, seconds[place].minimum,
                 place in unstable)
                for place in cells
            ],
            columns=["row", "column", "lost", "second", "second_worst", "unstable"],
        ),
        draw,
    )  # fmt: skip


def _title(name: str, titles: Mapping[str, str], width: int) -> str:
    return wrapped(titles.get(name, name), width)


def _bar(figure: Figure, colors: mpl.cm.ScalarMappable, high: float, rows: int) -> None:
    """Draw the scale beside the cells, its title below the names of the columns."""
    height = figure.get_figheight()
    long = min(max(0.3, _HEIGHT * rows - 0.5), 1.6)
    place = (1 - 0.55 / WIDTH, 0.12 / height, 0.1 / WIDTH, long / height)
    ticks = [0, high] if long < 0.6 else [0, high / 2, high]
    bar = figure.colorbar(colors, cax=figure.add_axes(place), ticks=ticks)
    bar.ax.set(ylim=(0, high))
    bar.ax.set_title("A loses,\npoints", fontsize=8, loc="center", pad=7)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.ax.spines[:].set_visible(False)
    bar.outline.set_visible(False)
