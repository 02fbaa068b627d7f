"""Accuracy over training in one scenario: a row per strategy, a column per panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.benchmark.runs.record import JOINT
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import WIDE, canvas
from palimpsest.reports.figures.drawing.curves import (
    draw_curves,
    mark_phases,
    share_accuracies,
    share_steps,
)
from palimpsest.reports.figures.drawing.panels import Panel, average, panels
from palimpsest.reports.figures.drawing.plot import BANDS, Plot
from palimpsest.reports.figures.drawing.rows import (
    MARGINS,
    CurvesRow,
    compared_rows,
    draw_legend,
    legend_height,
)
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell, Variant, dial_of
from palimpsest.reports.runs.frames import curves_frame, numbered


@dataclass(frozen=True, eq=False)
class CurvesPlot(Plot):
    """The figure, with its layout: rows of variants and the panels of each row."""

    rows: Sequence[CurvesRow]
    columns: Sequence[Panel]


def curves_rows(cells: Sequence[Cell]) -> list[CurvesRow]:
    """Lay out a scenario's curves: a row per strategy with several strengths.

    Variants without curves are left out, and ``joint``, which has no order of models.
    """
    shown = [
        cell
        for cell in cells
        if cell.variant.role != JOINT
        and any(curve["steps"] for record in cell.done for curve in record.curves)
    ]
    return compared_rows(shown)


def strategy_curves_plot(
    cells: Sequence[Cell], styles: Mapping[Variant, Style]
) -> CurvesPlot | None:
    """Show accuracy over the steps of training: mean and band over seeds.

    ``None`` where no run has curves.
    """
    rows = curves_rows(cells)
    if not rows:
        return None
    shown = [cell for row in rows for cell in row.own]
    frame = curves_frame(cells)
    columns = panels(frame[frame["variant"].isin([c.variant.label for c in shown])])

    def draw() -> Figure:
        means = [average(column.frame) for column in columns]
        tall = [max(1.65, legend_height(row)) for row in rows]
        figure, grid = canvas(
            tall, len(columns), margins=MARGINS, width=WIDE, sharex="col",
            width_ratios=[column.width for column in columns],
        )  # fmt: skip
        for place, row in enumerate(rows):
            for ax, panel, mean in zip(grid[place], columns, means, strict=True):
                lines = [
                    (styles[cell.variant], mean[mean["variant"] == cell.variant.label])
                    for cell in (*row.compared, *row.own)
                ]
                draw_curves(ax, lines)
                mark_phases(ax, panel)
                _name_axes(ax, panel, first=place == 0, last=place == len(rows) - 1)
            draw_legend(grid[place][-1], row, styles)
        for group in dict.fromkeys(panel.group for panel in columns):
            share_accuracies(_chosen(grid, [panel.group == group for panel in columns]))
        share_steps(_chosen(grid, [bool(panel.starts) for panel in columns]))
        figure.supylabel("accuracy, %", fontsize=8.5, x=0.08 / WIDE, ha="left")
        return figure

    dial = dial_of(c.variant for c in shown)
    joint = len(shown) < len(cells) and any(c.variant.role == JOINT for c in cells)
    return CurvesPlot(
        "Curves",
        f"Test accuracy during training: means; bands are {BANDS}. {dial.plural.capitalize()} run "
        f"from light ({dial.adjectives[0]}) to dark ({dial.adjectives[1]}). Where lines coincide, "
        "the lower ones are wider."
        + (" Joint training has no order of models, so it has no curve here." if joint else ""),
        f"Accuracy over training steps in {cells[0].scenario}, mean over seeds",
        numbered(frame),
        draw,
        rows,
        columns,
    )


def _name_axes(ax: Axes, panel: Panel, *, first: bool, last: bool) -> None:
    ax.margins(x=0.015)
    ax.locator_params(axis="x", nbins=5, integer=True)
    ax.locator_params(axis="y", nbins=5)
    if first:
        ax.set_title(panel.title, loc="left")
    if last:
        ax.set_xlabel(panel.axis)


def _chosen(grid: Any, columns: Sequence[bool]) -> list[Axes]:
    """The panels of some columns."""
    return [ax for row in grid for ax, chosen in zip(row, columns, strict=True) if chosen]


FIGURE = report.Figure(
    "curves", "training", 1, lambda scope: strategy_curves_plot(scope.done, scope.styles),
    "runs that measured curves (curve: {every: 50})", shows="turns",
)  # fmt: skip
