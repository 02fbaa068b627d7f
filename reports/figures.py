"""Curves and accuracy matrices. Figures show per cent, and never touch pyplot's state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from reports.aggregate import BANDS, curves_frame, matrices_frame, mean_matrix
from reports.cells import FINETUNE, JOINT, Cell, Variant, strength_text
from reports.curves import Panel, average, panels
from reports.plot import Plot
from reports.style import INK, PALE, Style, wrapped

ROW = 6
"""Most variants that one row of a figure holds."""

# Inches.
_WIDTH, _LEGEND = 10.6, 2.0
_SLOT, _SIDE = 1.5, 1.2


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


def curves_plot(cells: Sequence[Cell], style: Mapping[Variant, Style], name: str) -> Plot | None:
    """Show accuracy over the steps of training: mean and band over seeds.

    A row for each strategy with several strengths, fine-tuning in each for comparison. The
    strategy ``joint`` is left out: it has no order of models.

    Args:
        cells: One scenario's cells with finished runs.
        style: How each variant is drawn.
        name: Unique in the report.

    Returns:
        The plot, or ``None`` where no run has curves.
    """
    frame = curves_frame(cells)
    known = set(frame["variant"].unique())
    shown = [c for c in cells if c.variant.label in known and c.variant.kind != JOINT]
    if not shown:
        return None
    columns = panels(frame[frame["variant"].isin([c.variant.label for c in shown])])
    means = [average(column.frame) for column in columns]
    rows = rows_of(shown)
    plain = [c for c in shown if c.variant.kind == FINETUNE]

    def draw() -> Figure:
        height = 0.8 + 1.95 * len(rows)
        figure = Figure(figsize=(_WIDTH, height))
        # Placed by hand: a layout engine would draw everything twice.
        grid = figure.subplots(
            len(rows),
            len(columns),
            squeeze=False,
            sharex="col",
            gridspec_kw={
                "width_ratios": [column.width for column in columns],
                "left": 0.62 / _WIDTH,
                "right": 1 - _LEGEND / _WIDTH,
                "bottom": 0.48 / height,
                "top": 1 - 0.28 / height,
                "hspace": 0.16,
                "wspace": 0.14,
            },
        )
        for row, members in enumerate(rows):
            compared = plain if len(rows) > 1 and not set(plain) & set(members) else []
            for ax, panel, mean in zip(grid[row], columns, means, strict=True):
                _draw_curves(ax, [*compared, *members], mean, style)
                _frame_curves(ax, panel, first=row == 0, last=row == len(rows) - 1)
            _curves_legend(grid[row][-1], members, compared, style)
        for group in dict.fromkeys(panel.group for panel in columns):
            _share_limits(grid[:, [panel.group == group for panel in columns]].ravel())
        figure.supylabel("accuracy, %", fontsize=8.5, x=0.08 / _WIDTH, ha="left")
        return figure

    joint = len(shown) < len(cells) and any(c.variant.kind == JOINT for c in cells)
    return Plot(
        name,
        "Curves",
        f"Test accuracy during training: means; bands are {BANDS}. Strengths run from "
        "light (weak) to dark (strong)."
        + (" Joint training has no order of models, and no curve here." if joint else ""),
        f"Accuracy over training steps in {cells[0].scenario}, mean over seeds",
        frame,
        draw,
    )


def heatmaps_plot(cells: Sequence[Cell], name: str) -> Plot | None:
    """Show mean accuracy matrices: row i after model i was trained, column j model j.

    Numbers above the diagonal, of models not yet trained, stand without colour.

    Args:
        cells: Of one scenario, with finished runs.
        name: Unique in the report.

    Returns:
        The plot, or ``None`` where there are no cells.
    """
    if not cells:
        return None
    matrices = {cell.variant: mean_matrix(cell) for cell in cells}
    rows = rows_of(cells)
    width = max(len(row) for row in rows)

    def draw() -> Figure:
        across, down = 0.5 + _SLOT * width + 0.6, 0.3 + (_SLOT + 0.3) * len(rows)
        figure = Figure(figsize=(across, down))
        # One pair of axes in inches: one for each matrix would take seconds to draw.
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, across), ylim=(down, 0))
        ax.set_axis_off()
        for i, line in enumerate(rows):
            for j, cell in enumerate(line):
                left, top = 0.5 + _SLOT * j, 0.45 + (_SLOT + 0.3) * i
                image = _draw_matrix(ax, 100 * matrices[cell.variant], left, top)
                ax.text(left, top - 0.06, wrapped(cell.variant.label, 22), fontsize=8, va="bottom")
                if j == 0:
                    ax.text(
                        left - 0.26, top + _SIDE / 2, "after model", rotation=90,
                        ha="right", va="center",
                    )  # fmt: skip
                if i == len(rows) - 1 or j >= len(rows[i + 1]):
                    ax.text(left + _SIDE / 2, top + _SIDE + 0.2, "of model", ha="center", va="top")
        high = min(0.8 * down, 1.6)
        place = (1 - 0.62 / across, 0.5 - high / down / 2, 0.09 / across, high / down)
        bar = figure.colorbar(image, cax=figure.add_axes(place))
        bar.set_label("accuracy, %")
        bar.ax.tick_params(length=0)
        bar.ax.spines[:].set_visible(False)
        return figure

    return Plot(
        name,
        "Accuracy matrices",
        "Test accuracy of each model (column) after each model was trained (row), mean over seeds, "
        "at the strengths that were chosen. Numbers without colour are of models not yet trained.",
        f"Mean accuracy matrices in {cells[0].scenario}",
        matrices_frame(cells),
        draw,
    )


def _draw_matrix(ax: Axes, matrix: NDArray[np.float64], left: float, top: float) -> QuadMesh:
    size = len(matrix)
    learned = np.where(np.tri(size, dtype=bool), matrix, np.nan)
    unit = _SIDE / size
    edges = np.arange(size + 1) * unit
    image = ax.pcolormesh(
        left + edges,
        top + edges,
        np.ma.masked_invalid(learned),
        cmap="Blues",
        vmin=0,
        vmax=100,
        edgecolor="white",
        linewidth=1,
    )
    for place in range(0, size, max(1, size // 5)):
        middle = (place + 0.5) * unit
        ax.text(left - 0.06, top + middle, str(place), ha="right", va="center", fontsize=8)
        ax.text(left + middle, top + _SIDE + 0.05, str(place), ha="center", va="top", fontsize=8)
    if size <= 6:
        digits = 1 if size <= 3 else 0
        for (i, j), value in np.ndenumerate(matrix):
            if np.isnan(value):
                continue
            color = "#6b6b6b" if j > i else "white" if value > 55 else INK
            ax.text(
                left + (j + 0.5) * unit, top + (i + 0.5) * unit, f"{value:.{digits}f}",
                color=color, ha="center", va="center",
            )  # fmt: skip
    return image


def _draw_curves(
    ax: Axes, cells: Sequence[Cell], mean: pd.DataFrame, style: Mapping[Variant, Style]
) -> None:
    lines, bands, looks = [], [], []
    for cell in cells:
        own = mean[mean["variant"] == cell.variant.label]
        for _, phase in own.groupby("phase"):
            x, low, high = (phase[column].to_numpy() for column in ("x", "low", "high"))
            lines.append(np.column_stack([x, phase["mean"]]))
            bands.append(np.column_stack([[*x, *x[::-1]], [*low, *high[::-1]]]))
            looks.append(style[cell.variant])
    colors = [look.color for look in looks]
    # Two collections, because an artist for each line would take most of the report's time.
    ax.add_collection(PolyCollection(bands, facecolors=colors, alpha=0.13, linewidths=0), False)
    ax.add_collection(
        LineCollection(
            lines, colors=colors, linestyles=[look.linestyle for look in looks],
            linewidths=mpl.rcParams["lines.linewidth"], capstyle="projecting", joinstyle="round",
        ),
        False,
    )  # fmt: skip
    ax.dataLim.update_from_data_xy(np.concatenate(bands))


def _frame_curves(ax: Axes, panel: Panel, *, first: bool, last: bool) -> None:
    for start in panel.starts:
        ax.axvline(start, color=PALE, linewidth=0.6, zorder=0)
    if panel.shaded:
        ax.axvspan(0, panel.shaded, color="black", alpha=0.07, linewidth=0, zorder=0)
    ax.margins(x=0.015)
    ax.locator_params(axis="both", nbins=5)
    ax.grid(axis="y", color="black", alpha=0.1, linewidth=0.6)
    if first:
        ax.set_title(panel.title, loc="left")
    if last:
        ax.set_xlabel(panel.axis)


def _curves_legend(
    ax: Axes, row: Sequence[Cell], compared: Sequence[Cell], style: Mapping[Variant, Style]
) -> None:
    """Name the lines; a strategy that has the row to itself is the title over its strengths."""
    own = [cell.variant for cell in row]
    title, labels = None, [wrapped(variant.label, 26) for variant in own]
    if len(own) > 1 and len({variant.strategy for variant in own}) == 1:
        title = wrapped(own[0].strategy, 26)
        labels = [
            variant.strategy
            if variant.strength is None
            else f"strength {strength_text(variant.strength)}"
            for variant in own
        ]
    others = [cell.variant for cell in compared]
    labels += [wrapped(variant.label, 26) for variant in others]
    handles = [
        Line2D([], [], color=style[variant].color, linestyle=style[variant].linestyle)
        for variant in (*own, *others)
    ]
    ax.legend(
        handles, labels, title=title, loc="upper left", bbox_to_anchor=(1.02, 1.05),
        borderaxespad=0, alignment="left",
    )  # fmt: skip


def _share_limits(axes: Iterable[Axes]) -> None:
    """Give panels that will be compared one accuracy axis, and never less than 5 points of it."""
    axes = list(axes)
    low = min(ax.dataLim.y0 for ax in axes)
    high = max(ax.dataLim.y1 for ax in axes)
    missing = max(0.0, 5 - (high - low)) / 2
    margin = 0.04 * (high - low) + missing
    for ax in axes:
        ax.set_ylim(max(-1.5, low - margin), min(101.5, high + margin))


def _chunks(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [list(cells[start : start + ROW]) for start in range(0, len(cells), ROW)]
