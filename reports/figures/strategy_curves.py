"""Accuracy over training in one scenario: a row per strategy, a column per panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.canvas import WIDE, Margins, canvas
from reports.figures.captions import BANDS
from reports.figures.curves import draw_curves, mark_phases, share_accuracies, share_steps
from reports.figures.labels import wrapped
from reports.figures.panels import Panel, average, panels
from reports.figures.plot import Plot
from reports.figures.rows import rows_of
from reports.figures.style import Style
from reports.runs.cells import FINETUNE, JOINT, Cell, Variant, dial_of
from reports.runs.frames import curves_frame, numbered

_MARGINS = Margins(right=2.0, top=0.28, across=0.4, down=0.3)  # the legend is on the right

_LINE = 0.15  # inches: the height of a line of text
_KEY = 24  # letters per line of a name in a legend


def strategy_curves_plot(
    cells: Sequence[Cell], styles: Mapping[Variant, Style], name: str
) -> Plot | None:
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
    frame = curves_frame(cells)
    known = set(frame["variant"].unique())
    shown = [c for c in cells if c.variant.label in known and c.variant.kind != JOINT]
    if not shown:
        return None
    rows = rows_of(shown)
    plain = [c for c in shown if c.variant.kind == FINETUNE]

    compared = [
        plain if len(rows) > 1 and not set(plain) & set(members) else [] for members in rows
    ]
    legends = [_legend(members, others) for members, others in zip(rows, compared, strict=True)]

    def draw() -> Figure:
        # Here, since figures are drawn in several processes.
        columns = panels(frame[frame["variant"].isin([c.variant.label for c in shown])])
        means = [average(column.frame) for column in columns]
        tall = [max(1.65, _legend_height(legend)) for legend in legends]
        figure, grid = canvas(
            tall, len(columns), margins=_MARGINS, width=WIDE, sharex="col",
            width_ratios=[column.width for column in columns],
        )  # fmt: skip
        for row, (members, others) in enumerate(zip(rows, compared, strict=True)):
            for ax, panel, mean in zip(grid[row], columns, means, strict=True):
                lines = [
                    (styles[cell.variant], mean[mean["variant"] == cell.variant.label])
                    for cell in (*others, *members)
                ]
                draw_curves(ax, lines)
                mark_phases(ax, panel)
                _name_axes(ax, panel, first=row == 0, last=row == len(rows) - 1)
            _draw_legend(grid[row][-1], [*members, *others], legends[row], styles)
        for group in dict.fromkeys(panel.group for panel in columns):
            share_accuracies(_chosen(grid, [panel.group == group for panel in columns]))
        share_steps(_chosen(grid, [bool(panel.starts) for panel in columns]))
        figure.supylabel("accuracy, %", fontsize=8.5, x=0.08 / WIDE, ha="left")
        return figure

    dial = dial_of(c.variant for c in shown)
    joint = len(shown) < len(cells) and any(c.variant.kind == JOINT for c in cells)
    return Plot(
        name,
        "Curves",
        f"Test accuracy during training: means; bands are {BANDS}. {dial.many.capitalize()} run "
        f"from light ({dial.low}) to dark ({dial.high}). Where lines coincide, "
        "the lower ones are wider."
        + (" Joint training has no order of models, so it has no curve here." if joint else ""),
        f"Accuracy over training steps in {cells[0].scenario}, mean over seeds",
        numbered(frame),
        draw,
    )


def _name_axes(ax: Axes, panel: Panel, *, first: bool, last: bool) -> None:
    ax.margins(x=0.015)
    ax.locator_params(axis="x", nbins=5, integer=True)
    ax.locator_params(axis="y", nbins=5)
    if first:
        ax.set_title(panel.title, loc="left")
    if last:
        ax.set_xlabel(panel.axis)


@dataclass(frozen=True)
class _Legend:
    """The legend of a row; if all of its variants are of one strategy, that is its title."""

    title: str | None
    labels: Sequence[str]


def _legend(row: Sequence[Cell], compared: Sequence[Cell]) -> _Legend:
    own = [cell.variant for cell in row]
    title, labels = None, [wrapped(variant.label, _KEY) for variant in own]
    if len(own) > 1 and len({variant.strategy for variant in own}) == 1:
        title = wrapped(own[0].strategy, _KEY)
        labels = [
            variant.strategy if variant.strength is None else variant.setting for variant in own
        ]
    return _Legend(title, [*labels, *(wrapped(cell.variant.label, _KEY) for cell in compared)])


def _legend_height(legend: _Legend) -> float:
    """Inches."""
    texts = [*legend.labels, *([legend.title] if legend.title else [])]
    return sum(0.06 + _LINE * (text.count("\n") + 1) for text in texts)


def _draw_legend(
    ax: Axes, cells: Sequence[Cell], legend: _Legend, styles: Mapping[Variant, Style]
) -> None:
    looks = [styles[cell.variant] for cell in cells]
    handles = [Line2D([], [], color=look.color, linestyle=look.linestyle) for look in looks]
    ax.legend(
        handles, legend.labels, title=legend.title, loc="upper left", bbox_to_anchor=(1.02, 1.05),
        borderaxespad=0, alignment="left",
    )  # fmt: skip


def _chosen(grid: Any, columns: Sequence[bool]) -> list[Axes]:
    """The panels of some columns."""
    return [ax for row in grid for ax, chosen in zip(row, columns, strict=True) if chosen]
