"""Quantities over a number that scenarios or settings differ in, such as layers or samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from palimpsest.benchmark.metrics import Metric
from palimpsest.reports.analysis.quantities import interval
from palimpsest.reports.figures.drawing.canvas import (
    BAND,
    LEAST_SPAN,
    MARKER,
    Margins,
    canvas,
    line_keys,
    read_off,
    read_off_key,
    titled,
)
from palimpsest.reports.figures.drawing.intervals import draw_intervals
from palimpsest.reports.figures.drawing.plot import SPREAD, Plot
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.wording.numbers import strength_text

_ASIDE = 2.4  # points between the intervals of neighbouring lines
_LOG = 30
"""An axis is logarithmic if its largest number is at least this many times its smallest."""


@dataclass(frozen=True)
class Line:
    """One line: the runs at each x, and its style."""

    cells: Mapping[float, Cell]
    style: Style


@dataclass(frozen=True)
class Levels:
    """What lines are compared with.

    Attributes:
        cells: Horizontal lines, by label.
        styles: Their styles, by label.
        points: Points read off a published figure, by quantity and label of a line: x and value as
            printed.
    """

    cells: Mapping[str, Cell] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)
    points: Mapping[str, Mapping[str, Mapping[float, float]]] = field(default_factory=dict)


def lines_plot(
    lines: Mapping[str, Line],
    quantities: Sequence[tuple[Metric, str]],
    plain: Callable[[str], Cell | None],
    beside: Levels,
    axis: str,
) -> Plot:
    """Make the figure: a panel per quantity.

    Args:
        lines: By label.
        quantities: Each with its name for the reader.
        plain: Returns fine-tuning's runs in a scenario.
        beside: What the lines are compared with.
        axis: What x counts.
    """
    places = sorted({x for line in lines.values() for x in line.cells})
    smallest = min((x for x in places if x > 0), default=0.0)
    logarithmic = places[0] >= 0 and smallest > 0 and places[-1] >= _LOG * smallest
    across = 2 if len(quantities) == 4 else min(len(quantities), 3)
    styles = {label: line.style for label, line in lines.items()}

    def draw() -> Figure:
        keys = line_keys(styles, marked=True) + line_keys(beside.styles, marked=False)
        given = [styles[label] for points in beside.points.values() for label in points]
        if given:
            keys.append(read_off_key(given))
        down = -(-len(quantities) // across)
        titles, margins = titled(
            [f"{title}, {quantity.unit}" for quantity, title in quantities], across,
            Margins(across=0.55, down=0.75),
        )  # fmt: skip
        figure, grid = canvas([2.2] * down, across, keys, margins)
        axes = [ax for row in grid for ax in row]
        for ax, (quantity, _), title in zip(axes, quantities, titles, strict=False):
            for label, cell in beside.cells.items():
                _level(ax, cell, quantity, plain, beside.styles[label])
            for place, line in enumerate(lines.values()):
                xs = sorted(line.cells)
                cells = [line.cells[x] for x in xs]
                found = [interval(quantity, cell, plain(cell.scenario)) for cell in cells]
                aside = _ASIDE * (place - (len(lines) - 1) / 2)
                draw_intervals(ax, xs, found, quantity.scale, line.style, aside=aside)
            for label, points in beside.points.get(quantity.name, {}).items():
                shown = read_off(styles[label].color)
                ax.plot(list(points), list(points.values()), zorder=4, **shown)
            if not ax.has_data():
                ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=INK)
                ax.set_yticks([])
            ax.update_datalim([(x, 0.0) for x in places], updatey=False)
            ax.set_title(title, loc="left")
            ax.set_xlabel(axis)
            if logarithmic and places[0] == 0:
                # Zero gets a position beside the smallest number.
                ax.set_xscale("symlog", linthresh=smallest, linscale=0.5)
            elif logarithmic:
                ax.set_xscale("log")
            shifted = (_ASIDE * (len(lines) - 1) / 2 + MARKER) / (ax.bbox.width * 72 / figure.dpi)
            ax.margins(x=max(0.08, shifted / (1 - 2 * shifted)))
            _limits(ax, quantity)
            _ticks(ax, places)
        for ax in axes[len(quantities) :]:
            ax.remove()
        return figure

    return Plot(
        "",
        SPREAD,
        f"{', '.join(title for _, title in quantities)} over {axis}, a line each for "
        f"{', '.join(lines)}",
        _frame(lines, quantities, plain),
        draw,
    )


def _limits(ax: Axes, quantity: Metric) -> None:
    """Show at least ``LEAST_SPAN``, and nothing beyond 0 and 100 % where there are no values."""
    if not quantity.is_percentage:
        return
    low, high = ax.get_ylim()
    margin = max(0.0, LEAST_SPAN - (high - low)) / 2
    low, high = low - margin, high + margin
    if quantity.unit == "%" and ax.dataLim.y0 >= 0 and ax.dataLim.y1 <= 100:
        low, high = max(-2.0, low), min(102.0, high)
    ax.set_ylim(low, high)


def _ticks(ax: Axes, places: Sequence[float]) -> None:
    """Label the positions, but skip labels that would touch the one before."""
    ax.set_xlim(ax.get_xlim())
    spots = ax.transData.transform([(x, ax.get_ylim()[0]) for x in places])[:, 0]
    kept: list[float] = []
    end = float("-inf")
    for x, spot in zip(places, spots * 72 / ax.figure.dpi, strict=True):
        half = 2.7 * len(_number(x))
        if spot - half > end + 3:
            kept.append(x)
            end = spot + half
    ax.set_xticks(kept, [_number(x) for x in kept])
    ax.xaxis.set_minor_locator(NullLocator())


def _number(x: float) -> str:
    return f"{x + 0.0:,.10g}" if x == 0 or 1e-4 <= abs(x) < 1e6 else strength_text(x)


def _level(
    ax: Axes, cell: Cell, quantity: Metric, plain: Callable[[str], Cell | None], style: Style
) -> None:
    found = interval(quantity, cell, plain(cell.scenario))
    if found.value is None:
        return
    scale = quantity.scale
    ax.axhline(scale * found.value, color=style.color, linestyle=style.linestyle, linewidth=1.3)
    if found.low is not None and found.high is not None:
        ax.axhspan(
            scale * found.low, scale * found.high, color=style.color, alpha=BAND, linewidth=0
        )


def _frame(
    lines: Mapping[str, Line],
    quantities: Sequence[tuple[Metric, str]],
    plain: Callable[[str], Cell | None],
) -> pd.DataFrame:
    rows = [
        (label, x, quantity.name, found.value, found.low, found.high, found.n)
        for label, line in lines.items()
        for x, cell in sorted(line.cells.items())
        for quantity, _ in quantities
        for found in (interval(quantity, cell, plain(cell.scenario)),)
    ]
    return pd.DataFrame(rows, columns=["line", "x", "quantity", "mean", "low", "high", "n"])
