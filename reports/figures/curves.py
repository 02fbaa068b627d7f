"""Curves of accuracy over training. Figures show per cent, and never touch pyplot's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.captions import BANDS
from reports.figures.panels import Panel, average, panels
from reports.figures.plot import Plot
from reports.figures.style import PALE, Style, nested, wrapped
from reports.runs.cells import FINETUNE, JOINT, Cell, Variant
from reports.runs.frames import curves_frame
from reports.wording.numbers import strength_text

ROW = 6
"""Most variants that one row of a figure holds."""

# Inches.
_WIDTH, _LEGEND = 10.6, 2.0
_LINE = 0.15  # of a line of text, with the room to the next
_KEY = 24  # letters of a name in a legend, in a line


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

    compared = [
        plain if len(rows) > 1 and not set(plain) & set(members) else [] for members in rows
    ]
    legends = [_legend(members, others) for members, others in zip(rows, compared, strict=True)]

    def draw() -> Figure:
        tall = [max(1.65, _legend_height(legend)) for legend in legends]
        height = 0.76 + sum(tall) + 0.3 * (len(rows) - 1)
        figure = Figure(figsize=(_WIDTH, height))
        # Placed by hand: a layout engine would draw everything twice.
        grid = figure.subplots(
            len(rows),
            len(columns),
            squeeze=False,
            sharex="col",
            gridspec_kw={
                "width_ratios": [column.width for column in columns],
                "height_ratios": tall,
                "left": 0.62 / _WIDTH,
                "right": 1 - _LEGEND / _WIDTH,
                "bottom": 0.48 / height,
                "top": 1 - 0.28 / height,
                "hspace": 0.3 * len(rows) / sum(tall),
                "wspace": 0.14,
            },
        )
        for row, (members, others) in enumerate(zip(rows, compared, strict=True)):
            for ax, panel, mean in zip(grid[row], columns, means, strict=True):
                _draw_curves(ax, [*others, *members], mean, style)
                _frame_curves(ax, panel, first=row == 0, last=row == len(rows) - 1)
            _draw_legend(grid[row][-1], [*members, *others], legends[row], style)
        for group in dict.fromkeys(panel.group for panel in columns):
            _share_accuracies(_chosen(grid, [panel.group == group for panel in columns]))
        _share_steps(_chosen(grid, [bool(panel.starts) for panel in columns]))
        figure.supylabel("accuracy, %", fontsize=8.5, x=0.08 / _WIDTH, ha="left")
        return figure

    joint = len(shown) < len(cells) and any(c.variant.kind == JOINT for c in cells)
    return Plot(
        name,
        "Curves",
        f"Test accuracy during training: means; bands are {BANDS}. Strengths run from "
        "light (weak) to dark (strong). Lines that coincide lie on each other, wide below narrow."
        + (" Joint training has no order of models, and no curve here." if joint else ""),
        f"Accuracy over training steps in {cells[0].scenario}, mean over seeds",
        frame,
        draw,
    )


def _draw_curves(
    ax: Axes, cells: Sequence[Cell], mean: pd.DataFrame, style: Mapping[Variant, Style]
) -> None:
    lines, bands, looks = [], [], []
    for cell in cells:
        own = mean[mean["variant"] == cell.variant.label]
        for _, phase in own.groupby("phase"):
            x = phase["x"].to_numpy()
            low, high = (phase[end].to_numpy() for end in ("low", "high"))
            lines.append(np.column_stack([x, phase["mean"]]))
            bands.append(np.column_stack([[*x, *x[::-1]], [*low, *high[::-1]]]))
            looks.append(style[cell.variant])
    if not lines:
        return
    colors = [look.color for look in looks]
    # Two collections, because an artist for each line would take most of the report's time.
    ax.add_collection(PolyCollection(bands, facecolors=colors, alpha=0.13, linewidths=0), False)
    ax.add_collection(
        LineCollection(
            lines, colors=colors, linestyles=[look.linestyle for look in looks],
            linewidths=nested(lines, mpl.rcParams["lines.linewidth"]), capstyle="projecting",
            joinstyle="round",
        ),
        False,
    )  # fmt: skip
    for line, look in zip(lines, looks, strict=True):
        if len(line) == 1:
            ax.plot(*line[0], ".", color=look.color)
    # Not dataLim itself: what is drawn later would then replace the limits, and not widen them.
    ax.update_datalim(np.concatenate([*lines, *bands]))


def _frame_curves(ax: Axes, panel: Panel, *, first: bool, last: bool) -> None:
    for start in panel.starts:
        ax.axvline(start, color=PALE, linewidth=0.6, zorder=0)
    if panel.shaded:
        ax.axvspan(0, panel.shaded, color="black", alpha=0.07, linewidth=0, zorder=0)
    ax.margins(x=0.015)
    ax.locator_params(axis="x", nbins=5, integer=True)
    ax.locator_params(axis="y", nbins=5)
    ax.grid(axis="y", color="black", alpha=0.1, linewidth=0.6)
    if first:
        ax.set_title(panel.title, loc="left")
    if last:
        ax.set_xlabel(panel.axis)


@dataclass(frozen=True)
class _Legend:
    """What stands beside a row: a strategy that has it to itself is the title of its strengths."""

    title: str | None
    labels: Sequence[str]


def _legend(row: Sequence[Cell], compared: Sequence[Cell]) -> _Legend:
    own = [cell.variant for cell in row]
    title, labels = None, [wrapped(variant.label, _KEY) for variant in own]
    if len(own) > 1 and len({variant.strategy for variant in own}) == 1:
        title = wrapped(own[0].strategy, _KEY)
        labels = [
            variant.strategy
            if variant.strength is None
            else f"strength {strength_text(variant.strength)}"
            for variant in own
        ]
    return _Legend(title, [*labels, *(wrapped(cell.variant.label, _KEY) for cell in compared)])


def _legend_height(legend: _Legend) -> float:
    """Inches."""
    texts = [*legend.labels, *([legend.title] if legend.title else [])]
    return sum(0.06 + _LINE * (text.count("\n") + 1) for text in texts)


def _draw_legend(
    ax: Axes, cells: Sequence[Cell], legend: _Legend, style: Mapping[Variant, Style]
) -> None:
    looks = [style[cell.variant] for cell in cells]
    handles = [Line2D([], [], color=look.color, linestyle=look.linestyle) for look in looks]
    ax.legend(
        handles, legend.labels, title=legend.title, loc="upper left", bbox_to_anchor=(1.02, 1.05),
        borderaxespad=0, alignment="left",
    )  # fmt: skip


def _chosen(grid: Any, columns: Sequence[bool]) -> list[Axes]:
    """The panels of some columns."""
    return [ax for row in grid for ax, chosen in zip(row, columns, strict=True) if chosen]


def _share_accuracies(axes: Sequence[Axes]) -> None:
    """Give panels that will be compared one accuracy axis, and never less than 5 points of it."""
    ends = np.array([ax.dataLim.intervaly for ax in axes])
    ends = ends[np.isfinite(ends).all(axis=1)]
    low, high = (ends.min(), ends.max()) if len(ends) else (0.0, 100.0)
    missing = max(0.0, 5 - (high - low)) / 2
    margin = 0.04 * (high - low) + missing
    for ax in axes:
        ax.set_ylim(max(-1.5, low - margin), min(101.5, high + margin))


def _share_steps(axes: Sequence[Axes]) -> None:
    """Give panels of one sequence the whole of it, whenever their own models began."""
    ends = np.array([ax.dataLim.intervalx for ax in axes])
    if np.isfinite(ends).any():
        low, high = np.min(ends[np.isfinite(ends)]), np.max(ends[np.isfinite(ends)])
        margin = 0.015 * (high - low)
        for ax in axes:
            ax.set_xlim(low - margin, high + margin)


def _chunks(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [list(cells[start : start + ROW]) for start in range(0, len(cells), ROW)]
