"""The share of parameters that later models can change, over the number of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from palimpsest.reports.analysis.capacity import (
    WHOLE,
    capacity_frame,
    free_after,
    shares_of,
    with_capacity,
)
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import canvas, line_keys
from palimpsest.reports.figures.drawing.intervals import draw_intervals
from palimpsest.reports.figures.drawing.marks import Mark, in_words
from palimpsest.reports.figures.drawing.plot import SPREAD, Plot
from palimpsest.reports.figures.drawing.style import Style, style_of
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import percent
from palimpsest.reports.wording.words import several

_FEWEST = 3
"""Models: of fewer the table says it all."""

_ASIDE = 3.0  # points between the markers of neighbouring lines
_MARKER = 4.4


def capacity_plot(cells: Sequence[Cell], styles: Mapping[Variant, Style]) -> Plot | None:
    """Show the free share after each model, a line for each strategy.

    ``None`` where nothing tells what is free, or of two models.
    """
    found = with_capacity(cells)
    frame = capacity_frame(found)
    models = int(frame["models"].max()) if len(frame) else 0
    if models < _FEWEST:
        return None

    def draw() -> Figure:
        looks = {cell.variant.label: style_of(cell.variant, styles) for cell in found}
        figure, ((ax,),) = canvas([2.6], 1, line_keys(looks, marked=True))
        for place, cell in enumerate(found):
            whole = shares_of(cell)[WHOLE]
            shares = [free_after(whole, model) for model in range(max(map(len, whole.values())))]
            draw_intervals(
                ax,
                range(1, len(shares) + 1),
                shares,
                100,
                looks[cell.variant.label],
                aside=_ASIDE * (place - (len(found) - 1) / 2),
                marker=_MARKER,
                marks=[_mark(cell.variant, i, share) for i, share in enumerate(shares, 1)],
            )
        ax.set_xlim(0.6, models + 0.4)
        ax.set_ylim(-4, 104)
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        ax.set_xlabel("models trained")
        ax.set_ylabel("free, %")
        return figure

    return Plot(
        "Free after each model",
        "Share of the parameters that several models use that a later model can still change. "
        f"{SPREAD}",
        f"Free share of the shared parameters after each model in {cells[0].scenario}, by strategy",
        frame,
        draw,
    )


def _mark(variant: Variant, models: int, found: Estimate) -> Mark:
    words = in_words(found, percent, "%")
    return Mark(
        (variant.strategy,), (variant.label, f"after {several(models, 'model')}", *words), found
    )


FIGURE = report.Figure(
    "free", "capacity", 2, lambda scope: capacity_plot(scope.chosen, scope.styles),
    "runs of three models or more with a strategy that tells what is free",
)  # fmt: skip
