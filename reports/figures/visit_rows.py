"""Figures of the report about searches: a row per strategy, fine-tuning in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from palimpsest.reports.analysis.searches import (
    FORGETTING,
    diverged,
    is_search,
    measure_of,
    rewards_block,
    rewards_of,
)
from palimpsest.reports.figures.curves import draw_curves
from palimpsest.reports.figures.drawing.canvas import WIDE, canvas
from palimpsest.reports.figures.drawing.captions import BANDS
from palimpsest.reports.figures.drawing.marks import Mark, note_each
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.gains import Way, gains_plot
from palimpsest.reports.figures.strategy_curves import (
    MARGINS,
    CurvesRow,
    compared_rows,
    draw_legend,
    legend_height,
)
from palimpsest.reports.figures.visits import (
    PANELS,
    forgetting_frame,
    how,
    rewards_means,
    zero_line,
)
from palimpsest.reports.runs.cells import Cell, Variant

_HALF = 6.0
"""Inches: the width of a figure beside the verdicts."""


def visit_curves_plot(
    cells: Sequence[Cell], styles: Mapping[Variant, Style], name: str
) -> Plot | None:
    """Show what visits lose over the epochs; ``None`` where no run was a search.

    Args:
        cells: One scenario's cells with finished runs.
        styles: Of each variant.
        name: Unique in the report.
    """
    shown = _searches(cells)
    if not shown:
        return None
    frame = forgetting_frame({cell.variant.label: cell for cell in shown}, 1)
    rows = compared_rows(shown)

    def draw() -> Figure:
        figure, grid = _grid(rows, len(PANELS), styles)
        for row, axes in zip(rows, grid, strict=True):
            for ax, (measure, title) in zip(axes, PANELS.items(), strict=True):
                zero_line(ax)
                _draw(ax, row, styles, frame[frame["measure"] == measure])
                if axes is grid[0]:
                    ax.set_title(title, loc="left")
                ax.set_xlabel("epoch" if axes is grid[-1] else "")
        unit = measure_of(FORGETTING, shown).unit
        figure.supylabel(f"err2 − err1, {unit}", fontsize=8.5, x=0.08 / WIDE, ha="left")
        return figure

    return Plot(
        name,
        "What visits lose over the epochs",
        how("of each epoch", diverged(cells)),
        "Error at the end of the epoch minus error after the visit over epochs in "
        f"{cells[0].scenario}: mean, five best and largest, by strategy",
        frame.drop(columns="phase"),
        draw,
    )


def controller_plot(
    cells: Sequence[Cell], styles: Mapping[Variant, Style], name: str
) -> Plot | None:
    """Show the rewards of controllers; ``None`` where no run has one. See ``visit_curves_plot``."""
    shown = [cell for cell in cells if any(rewards_of(record) for record in cell.done)]
    if not shown:
        return None
    block = rewards_block(shown)
    frame = rewards_means({cell.variant.label: cell for cell in shown}, block)
    rows = compared_rows(shown)

    def draw() -> Figure:
        figure, grid = _grid(rows, 1, styles)
        for row, (ax,) in zip(rows, grid, strict=True):
            _draw(ax, row, styles, frame)
            ax.set_ylabel("reward")
        grid[-1][0].set_xlabel("steps of the controller")
        return figure

    return Plot(
        name,
        "Rewards of the controller",
        f"Mean reward of what the controller draws, of {block:,} step{'s' * (block > 1)} each, on "
        f"validation data. Means over seeds; bands are {BANDS}.",
        f"Rewards over the controller's steps in {cells[0].scenario}, by strategy",
        frame.drop(columns="phase"),
        draw,
    )


def strategy_gains_plot(
    cells: Sequence[Cell], styles: Mapping[Variant, Style], name: str
) -> Plot | None:
    """Show forgetting against own gain, a line per strategy. See ``visit_curves_plot``."""
    shown = _searches(cells)
    if not shown:
        return None
    ways: dict[str, Way] = {}
    for strategy in dict.fromkeys(cell.variant.strategy for cell in shown):
        own = [cell for cell in shown if cell.variant.strategy == strategy]
        style = styles[own[0].variant]
        base = Style(style.base, style.linestyle, style.marker, style.base)
        ways[strategy] = Way(own, [cell.variant.value for cell in own], base)
    names = {strategy: strategy for strategy in ways}
    return gains_plot(ways, names, name, "", "Forgetting and own gain", _HALF)


def _searches(cells: Sequence[Cell]) -> list[Cell]:
    """Those with measured visits in some run, whose errors are finite."""
    return [
        cell
        for cell in cells
        if any(map(is_search, cell.done)) and diverged([cell]) < len(cell.done)
    ]


def _grid(
    rows: Sequence[CurvesRow], columns: int, styles: Mapping[Variant, Style]
) -> tuple[Figure, list[list[Axes]]]:
    tall = [max(1.65, legend_height(row)) for row in rows]
    figure, grid = canvas(tall, columns, margins=MARGINS, width=WIDE, sharex="col")
    for row, axes in zip(rows, grid, strict=True):
        draw_legend(axes[-1], row, styles)
    return figure, grid


def _draw(ax: Axes, row: CurvesRow, styles: Mapping[Variant, Style], frame: pd.DataFrame) -> None:
    """Draw the lines of a row, each of which fades where another strategy is shown alone."""
    variants = [cell.variant for cell in (*row.compared, *row.own)]
    lines = [(styles[v], frame[frame["line"] == v.label]) for v in variants]
    drawn = [variant for variant, (_, line) in zip(variants, lines, strict=True) if len(line)]
    draw_curves(ax, [line for line in lines if len(line[1])])
    for collection in ax.collections:
        if len(collection.get_paths()) == len(drawn):
            told = isinstance(collection, LineCollection)
            note_each([Mark((v.strategy,), (v.label,) if told else ()) for v in drawn], collection)
    ax.autoscale_view()
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5))
