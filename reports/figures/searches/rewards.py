"""The rewards of a search's controller over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.searches import rewards_block, rewards_frame, rewards_of
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import canvas, line_keys
from palimpsest.reports.figures.drawing.curves import draw_curves
from palimpsest.reports.figures.drawing.plot import BANDS, Plot
from palimpsest.reports.figures.drawing.rows import compared_rows
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.searches.by_strategy import draw_row, grid_of
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.statistics.grouped import drawn, over_seeds


def rewards_plot(
    lines: Mapping[str, Cell],
    styles: Mapping[str, Style],
    names: Mapping[str, str],
    block: int | None = None,
) -> Plot:
    """Make the figure of the controllers' rewards over their steps, a line per variant.

    Args:
        lines: Searches with controllers.
        styles: The style of each line.
        names: The name of each line for the reader.
        block: How many steps make a point, their mean; ``None``: as many as leave at most 60.

    Raises:
        UserError: A line has no controller.
    """
    for cell in lines.values():
        if not any(rewards_of(record) for record in cell.done):
            raise UserError(
                f"scenario {cell.scenario!r}, {cell.variant.label}: no finished run has a "
                "controller's rewards; expected a search with 'sampler: controller'"
            )
    size = rewards_block(list(lines.values())) if block is None else block
    frame = _means(lines, size)

    def draw() -> Figure:
        figure, ((ax,),) = canvas([2.5], 1, line_keys(styles, names, marked=False))
        draw_curves(ax, [(styles[line], frame[frame["line"] == line]) for line in lines])
        ax.autoscale_view()
        ax.set_xlabel("steps of the controller")
        ax.set_ylabel("reward")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        return figure

    each = "of each step" if size == 1 else f"of {size:,} steps each"
    return Plot(
        "",
        f"Rewards of the architectures that the controllers draw, {each}, on validation "
        f"data. Means over seeds; bands are {BANDS}.",
        f"Rewards over the controllers' steps, for {', '.join(names.values())}",
        frame,
        draw,
    )


def _means(lines: Mapping[str, Cell], block: int) -> pd.DataFrame:
    """Return the mean rewards of blocks of steps: a row per line and point.

    Columns: line, phase (0), x (step, from 1), n, mean, low and high as they are drawn.
    """
    parts = []
    for line, cell in lines.items():
        grouped = rewards_frame(cell, block).groupby("x")["value"]
        parts.append(drawn(over_seeds(grouped, None)).assign(line=line, phase=0))
    columns = ["line", "phase", "x", "n", "mean", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns]


def controller_plot(cells: Sequence[Cell], styles: Mapping[Variant, Style]) -> Plot | None:
    """Show the rewards of controllers; ``None`` where no run has one."""
    shown = [cell for cell in cells if any(rewards_of(record) for record in cell.done)]
    if not shown:
        return None
    block = rewards_block(shown)
    frame = _means({cell.variant.label: cell for cell in shown}, block)
    rows = compared_rows(shown)

    def draw() -> Figure:
        figure, grid = grid_of(rows, 1, styles)
        for row, (ax,) in zip(rows, grid, strict=True):
            draw_row(ax, row, styles, frame)
            ax.set_ylabel("reward")
        grid[-1][0].set_xlabel("steps of the controller")
        return figure

    return Plot(
        "Rewards of the controller",
        f"Mean reward of what the controller draws, of {block:,} step{'s' * (block > 1)} each, on "
        f"validation data. Means over seeds; bands are {BANDS}.",
        f"Rewards over the controller's steps in {cells[0].scenario}, by strategy",
        frame.drop(columns="phase"),
        draw,
    )


FIGURE = report.Figure(
    "rewards", "visits", 3, lambda scope: controller_plot(scope.done, scope.styles),
    "searches with a controller",
)  # fmt: skip
