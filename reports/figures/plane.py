"""The stability-plasticity plane: what a strategy keeps against what its new models reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.analysis.frontier import Frontier, Frontiers, Point
from reports.figures.breakdown_marks import MARKED, draw_margin
from reports.figures.captions import ALONE
from reports.figures.labels import Label, write_labels
from reports.figures.plot import Plot
from reports.figures.style import PALE, Style, lines_of, nested, wrapped
from reports.runs.cells import Variant
from reports.statistics.interval import Estimate
from reports.wording.numbers import percent, strength_text
from reports.wording.words import several

_SPAN = 4.0  # points: the least an axis shows, so that noise does not look like a difference
_SIZE = 6.5  # points: of a marker
_SEED = 3.2  # likewise of a single seed
_NEAR = 3.0  # points: markers so close hide each other, and are drawn inside one another
_LARGER = 4.0  # points: by how much the outer one is larger
_FULL = {"*": 1.5, "d": 1.25}
"""Markers that fill less of their size are drawn larger by so much."""
_NAME = 30  # letters of a name in the legend, in a line

# Inches: the plane itself, what is below and above it, a row of the margin for what was lost.
_HEIGHT, _BELOW, _ABOVE, _ROW = 3.95, 0.51, 0.14, 0.3


def plane_plot(found: Frontiers, style: Mapping[Variant, Style], name: str) -> Plot | None:
    """Show each variant's mean with its 95 % intervals, a strategy's strengths joined in order.

    A variant with a stability but no learning accuracy (``joint`` with more than two models)
    is a horizontal line.

    Args:
        found: One scenario's variants in the plane.
        style: How each variant is drawn.
        name: Unique in the report.

    Returns:
        The plot, or ``None`` where there is nothing to place (one model).
    """
    lines = [(frontier.strategy, frontier.points) for frontier in found.frontiers]
    lines += [(end.variant.strategy, (end,)) for end in found.ends]
    if not any(_placed(point) for _, points in lines for point in points):
        return None

    names = list(dict.fromkeys(loss.variant.strategy for loss in found.breakdowns))
    row = max(_ROW, 0.16 * lines_of(names))
    unequal = len({frontier.budget for frontier in found.frontiers}) > 1
    keys = [_legend(frontier, unequal) for frontier in found.frontiers]
    keys = [wrapped(key, _NAME) for key in [*keys, *(end.variant.strategy for end in found.ends)]]

    def draw() -> Figure:
        # Placed by hand: a layout engine would draw everything twice.
        margin = 0.45 + row * len(names) if names else 0.0
        tall = max(_HEIGHT, sum(0.1 + 0.15 * (key.count("\n") + 1) for key in keys))
        height = _ABOVE + tall + _BELOW + margin
        figure = Figure(figsize=(8.2, height))
        ax = figure.add_axes((0.075, (_BELOW + margin) / height, 0.625, tall / height))
        if names:
            below = figure.add_axes((0.075, 0.42 / height, 0.625, row * len(names) / height))
            draw_margin(below, found.breakdowns, style, _NAME)
        ways = [[_place(point) for point in points if _placed(point)] for _, points in lines]
        wide = nested(ways, 1.2)
        drawn = [
            mark
            for (_, points), width in zip(lines, wide, strict=True)
            for mark in _draw(ax, points, style, width)
        ]
        limit(ax, ticks=7)
        sizes = keep_visible(ax, [line for _, line in drawn], _SIZE)
        ax.set(xlabel="plasticity: learning accuracy of the new models, %")
        ax.set_ylabel("stability: final accuracy of the earlier models, %")
        ax.grid(color="black", alpha=0.08, linewidth=0.6)
        ax.legend(
            [_handle(style, points) for _, points in lines], keys, loc="upper left",
            bbox_to_anchor=(1.02, 1), borderaxespad=0, labelspacing=0.7,
        )  # fmt: skip
        write_labels(
            ax,
            [
                Label(strength_text(p.variant.strength), *_place(p), style[p.variant].ink)
                for p, _ in drawn
                if p.variant.strength is not None
            ],
            [
                *((*_place(point), size) for (point, _), size in zip(drawn, sizes, strict=True)),
                *((*spot, _SEED) for point, _ in drawn for spot in _seeds(point)),
            ],
            [*ways, *(bar for point, _ in drawn for bar in _bars(point))],
        )
        return figure

    return Plot(
        name,
        "Stability and plasticity",
        "Each strategy’s frontier over its strengths, light (weak) to dark (strong) and labelled; "
        f"up and to the right is better. Thin lines are 95 % intervals over seeds; {ALONE}. "
        "Hollow points are dominated: another variant is at least as good in both. Grey marks the "
        "references; fine-tuning and freezing are the free ends of every frontier, independent and "
        "joint training share nothing or see all data at once. Points that coincide are drawn "
        "inside one another."
        f"{f' {MARKED} A strategy has no point at such a strength.' if names else ''}",
        f"Stability-plasticity plane of {found.scenario}",
        _frame(found, [point for _, points in lines for point in points]),
        draw,
    )


def _placed(point: Point) -> bool:
    return point.x.value is not None and point.y.value is not None


def _frame(found: Frontiers, points: Sequence[Point]) -> pd.DataFrame:
    """One row a variant: its place, or without one how many seeds it lost."""
    lost = {loss.variant: (len(loss.diverged), len(loss.broken)) for loss in found.breakdowns}
    rows: list[tuple[object, ...]] = [
        (p.variant.label, p.x.value, p.x.low, p.x.high, p.y.value, p.y.low, p.y.high, p.dominated,
         *lost.pop(p.variant, (0, 0)))
        for p in points
    ]  # fmt: skip
    rows += [(variant.label, *[None] * 6, False, *counts) for variant, counts in lost.items()]
    x, y = ([name, f"{name}_low", f"{name}_high"] for name in ("learning_accuracy", "stability"))
    columns = ["variant", *x, *y, "dominated", "diverged", "broke_down"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys((*x, *y), float))
    frame.insert(0, "scenario", found.scenario)
    return frame


def _legend(frontier: Frontier, unequal: bool) -> str:
    area = frontier.hypervolume
    if area.value is None:
        return frontier.strategy
    with_what = f" with {several(frontier.budget, 'strength')}" if unequal else ""
    return f"{frontier.strategy} (fills {percent(area.value)} %{with_what})"


def _draw(
    ax: Axes, points: Sequence[Point], style: Mapping[Variant, Style], width: float
) -> list[tuple[Point, Line2D]]:
    """Draw a strategy's points and what joins them; return those with a place and their marker."""
    placed = [point for point in points if _placed(point)]
    if len(placed) > 1:
        places = [_place(point) for point in placed]
        base = style[placed[0].variant].base
        ax.plot(*zip(*places, strict=True), color=base, linewidth=width)
    for point in points:
        look = style[point.variant]
        if point.x.value is None and point.y.value is not None:
            ax.axhline(100 * point.y.value, color=look.color, linestyle="--", linewidth=1)
    drawn = []
    for point in placed:
        look = style[point.variant]
        x, y = _place(point)
        draw_seeds(ax, point, PALE if point.dominated else look.color)
        for bar in _bars(point):
            ax.plot(
                *zip(*bar, strict=True), color=PALE if point.dominated else look.color, alpha=0.45,
                linewidth=1, zorder=1,
            )  # fmt: skip
        (mark,) = ax.plot(
            x, y, look.marker, color="white" if point.dominated else look.color, markersize=_SIZE,
            zorder=3, clip_on=False, markeredgecolor=look.base if point.dominated else "white",
            markeredgewidth=1.0 if point.dominated else 0.6,
        )  # fmt: skip
        drawn.append((point, mark))
    return drawn


def _place(point: Point) -> tuple[float, float]:
    return 100 * (point.x.value or 0.0), 100 * (point.y.value or 0.0)


def _bars(point: Point) -> list[list[tuple[float, float]]]:
    """The intervals of a point as lines, as far as they are known."""
    x, y = _place(point)
    across, up = ends(point.x), ends(point.y)
    found = [[(end, y) for end in across]] if across else []
    return [*found, [(x, end) for end in up]] if up else found


def draw_seeds(ax: Axes, point: Point, color: str) -> None:
    """Draw the single seeds of a point that has too few of them for an interval.

    Args:
        ax: Accuracies in per cent, on both axes.
        point: Whose.
        color: Of the points.
    """
    spots = _seeds(point)
    if spots:
        ax.plot(
            *zip(*spots, strict=True), "o", color=color, alpha=0.6, markersize=_SEED,
            markeredgewidth=0, zorder=2,
        )  # fmt: skip


def _seeds(point: Point) -> list[tuple[float, float]]:
    """The single seeds of a point, in per cent, where they are drawn."""
    x, y = ([100 * value for value in place.seeds] for place in (point.x, point.y))
    alone = point.x.low is None and 1 < len(x) == len(y)
    return list(zip(x, y, strict=True)) if alone else []


def keep_visible(ax: Axes, marks: Sequence[Line2D], size: float) -> list[float]:
    """Make markers larger that later ones would hide.

    Args:
        ax: With its final limits and place.
        marks: One point each, in the order in which they are drawn.
        size: Diameter in points of a marker that none hides.

    Returns:
        The diameters in points.
    """
    if not marks:
        return []
    places = np.array([mark.get_xydata() for mark in marks], dtype=float)[:, 0]
    spots = np.asarray(ax.transData.transform(places)) * 72 / ax.figure.dpi
    close = np.hypot(*(spots[:, None] - spots[None]).T) < _NEAR
    hidden = np.tril(close, -1).sum(axis=0)
    full = np.array([_FULL.get(str(mark.get_marker()), 1.0) for mark in marks])
    sizes = full * (size + min(_LARGER, 9.0 / max(1, hidden.max())) * hidden)
    for mark, diameter in zip(marks, sizes, strict=True):
        mark.set_markersize(diameter)
    return [float(diameter) for diameter in sizes]


def ends(found: Estimate) -> tuple[float, float] | None:
    """Return an interval in per cent."""
    if found.low is None or found.high is None:
        return None
    return 100 * found.low, 100 * found.high


def _handle(style: Mapping[Variant, Style], points: Sequence[Point]) -> Line2D:
    """A legend's key; without a marker, of the line that stands for a point."""
    look = style[points[0].variant]
    marked = any(_placed(point) for point in points)
    return Line2D(
        [], [], color=look.base, marker=look.marker if marked else "", markersize=_SIZE,
        linestyle="-" if len(points) > 1 else "" if marked else "--", linewidth=1.2,
    )  # fmt: skip


def limit(ax: Axes, ticks: int) -> None:
    """Leave room around the points, and show neither less than some points nor the impossible.

    Args:
        ax: Accuracies in per cent, on both axes.
        ticks: At most so many intervals between ticks.
    """
    for get, put in ((ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)):
        low, high = get()
        missing = max(0.0, _SPAN - (high - low)) / 2
        margin = missing + 0.03 * (high - low)
        put(max(-2.0, low - margin), min(102.0, high + margin))
    ax.locator_params(nbins=ticks)
