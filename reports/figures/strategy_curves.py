"""Accuracy over training in one scenario: a row per strategy, a column per panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from palimpsest.benchmark.runs.record import BASELINE, JOINT
from palimpsest.reports.figures.curves import (
    draw_curves,
    mark_phases,
    share_accuracies,
    share_steps,
)
from palimpsest.reports.figures.drawing.canvas import WIDE, Margins, canvas
from palimpsest.reports.figures.drawing.captions import BANDS
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.drawing.panels import Panel, average, panels
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.rows import rows_of
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell, Variant, dial_of
from palimpsest.reports.runs.frames import curves_frame, numbered

MARGINS = Margins(right=2.0, top=0.28, across=0.4, down=0.3)  # the legend is on the right

_LINE = 0.15  # inches: the height of a line of text
_KEY = 24  # letters per line of a name in a legend


@dataclass(frozen=True)
class CurvesRow:
    """A row of panels.

    Attributes:
        own: The variants that it is about.
        compared: Fine-tuning, where it is no part of the row.
        title: Their strategy, where all are of one; the labels are their settings then.
        labels: Of ``own`` and ``compared``.
    """

    own: Sequence[Cell]
    compared: Sequence[Cell]
    title: str | None
    labels: Sequence[str]


@dataclass(frozen=True, eq=False)
class CurvesPlot(Plot):
    """The figure, and what it consists of.

    Attributes:
        rows: Which variants stand in each row of panels.
        columns: The panels of each row.
    """

    rows: Sequence[CurvesRow]
    columns: Sequence[Panel]


def curves_rows(cells: Sequence[Cell]) -> list[CurvesRow]:
    """Lay out a scenario's curves: a row per strategy with several strengths.

    Variants without curves are left out, and ``joint``, which has no order of models.

    Args:
        cells: Of one scenario.
    """
    shown = [
        cell
        for cell in cells
        if cell.variant.role != JOINT
        and any(curve["steps"] for record in cell.done for curve in record.curves)
    ]
    return compared_rows(shown)


def compared_rows(shown: Sequence[Cell]) -> list[CurvesRow]:
    """Lay out variants, a row per strategy with several strengths, fine-tuning in each.

    Args:
        shown: Of one scenario.
    """
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


def strategy_curves_plot(
    cells: Sequence[Cell], styles: Mapping[Variant, Style], name: str
) -> CurvesPlot | None:
    """Show accuracy over the steps of training: mean and band over seeds.

    A row per strategy with several strengths, with fine-tuning in each for comparison. The
    strategy ``joint`` is left out: it has no order of models.

    Args:
        cells: One scenario's cells with finished runs.
        styles: Of each variant.
        name: Unique in the report.

    Returns:
        The plot, or ``None`` where no run has curves.
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
        name,
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


def _chosen(grid: Any, columns: Sequence[bool]) -> list[Axes]:
    """The panels of some columns."""
    return [ax for row in grid for ax, chosen in zip(row, columns, strict=True) if chosen]
