"""Which figures a report has, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.cells import Cell, Variant
from reports.figures import curves_plot, heatmaps_plot
from reports.plane import plane_plot
from reports.plot import Plot
from reports.style import Style


def scenario_plots(
    cells: Sequence[Cell], style: Mapping[Variant, Style], prefix: str
) -> list[Plot]:
    """Return the figures of one scenario.

    Args:
        cells: Its cells with finished runs.
        style: How each variant is drawn.
        prefix: Begins the name of every plot.
    """
    if not cells:
        return []
    plots = (
        plane_plot(cells, style, f"{prefix}-plane"),
        curves_plot(cells, style, f"{prefix}-curves"),
        heatmaps_plot(cells, f"{prefix}-heatmaps"),
    )
    return [plot for plot in plots if plot is not None]
