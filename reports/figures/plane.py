"""The stability-plasticity plane: what a strategy keeps against what its new models reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.analysis.frontier import Frontiers, Point
from reports.figures.breakdown_marks import MARKED, draw_margin
from reports.figures.canvas import MARKER, WIDTH, Margins, canvas, titled
from reports.figures.captions import SPREAD
from reports.figures.labels import Label, lines_of, wrapped, write_labels
from reports.figures.overlap import keep_visible, nested
from reports.figures.plot import Plot
from reports.figures.settings import PALE
from reports.figures.style import Style
from reports.runs.cells import Variant
from reports.statistics.interval import Estimate
from reports.wording.numbers import strength_text

_SPAN = 4.0  # points: the least an axis shows, so that noise does not look like a difference
_SEED = 3.2  # points: of a single seed
_NAME = 42  # letters of a name in the legend, in a line

# Inches: of a plane alone and of one of several, of a row of the margin for lost strengths.
_ALONE, _SEVERAL, _ROW = 4.2, 2.9, 0.3

HOW = (
    "Each line goes through the strengths of a strategy, light (weak, near fine-tuning) to dark "
    f"(strong). {SPREAD} Hollow points are dominated: another variant is at least as good in both. "
    "Points that coincide are drawn inside one another."
)
"""What a caption says of every plane."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One pair of axes.

    Attributes:
        title: Stands above it; empty for none.
        found: The variants of a scenario, in the plane.
    """

    title: str
    found: Frontiers

    @property
    def lines(self) -> list[tuple[str, tuple[Point, ...]]]:
        """The points of each strategy, then those of the references."""
        strategies = [(frontier.strategy, frontier.points) for frontier in self.found.frontiers]
        return strategies + [(end.variant.strategy, (end,)) for end in self.found.ends]

    @property
    def lost(self) -> list[str]:
        """The strategies that lost seeds at some strength."""
        return list(dict.fromkeys(loss.variant.strategy for loss in self.found.breakdowns))


def plane_plot(
    planes: Sequence[Plane],
    styles: Mapping[Variant, Style],
    name: str,
    *,
    axes: tuple[str, str],
    caption: str = "",
    names: Mapping[str, str] | None = None,
    remarks: Mapping[str, str] | None = None,
    labelled: bool = False,
) -> Plot | None:
    """Show each variant's mean with its 95 % intervals, a strategy's strengths joined in order.

    A variant with a stability but no learning accuracy (``joint`` with more than two models)
    is a horizontal line.

    Args:
        planes: One or several scenarios.
        styles: Of each variant.
        name: Of the figure; unique.
        axes: Names of the axes, across and up.
        caption: Said before how to read it.
        names: Of strategies, for the reader, where they are not their own.
        remarks: Said of strategies in the legend, behind their names.
        labelled: Whether strengths are written beside their points.

    Returns:
        The plot, or ``None`` where there is nothing to place (one model).
    """
    if not any(_placed(p) for plane in planes for _, points in plane.lines for p in points):
        return None
    points = {s: own for plane in reversed(planes) for s, own in plane.lines}
    ends = {end.variant.strategy for plane in planes for end in plane.found.ends}
    every = {
        strategy: strategy for plane in planes for strategy in [*dict(plane.lines), *plane.lost]
    }
    # What is compared stands before what it is compared with, both in the order of the names.
    order = {strategy: place for place, strategy in enumerate(names or {})}
    called = {
        strategy: (names or {}).get(strategy, strategy)
        for strategy in sorted(every, key=lambda s: (s in ends, order.get(s, len(order))))
    }
    keys = [
        (_handle(styles, points[s]), wrapped(called[s] + (remarks or {}).get(s, ""), _NAME))
        for s in called
        if s in points
    ]
    across = min(len(planes), 2)
    rows = [planes[start : start + across] for start in range(0, len(planes), across)]

    def draw() -> Figure:
        height = _ALONE if len(planes) == 1 else _SEVERAL
        margins = Margins(across=0.55, down=0.75)
        titles, margins = titled([plane.title for plane in planes], across, margins)
        letters = int((WIDTH - margins.left - margins.right) / across * 0.4 / 0.07)
        heights = []
        for row in rows:
            heights.append(height)
            shown = max(len(plane.lost) for plane in row)
            lines = lines_of((called[s] for plane in row for s in plane.lost), letters)
            heights += [max(_ROW, 0.1 + 0.16 * lines) * shown] if shown else []
        figure, grid = canvas(heights, across, keys, margins)
        free = iter(grid)
        left = iter(titles)
        for row in rows:
            own = next(free)
            below = next(free) if any(plane.lost for plane in row) else []
            for place, (plane, ax) in enumerate(zip(row, own, strict=False)):
                _draw_plane(ax, plane, styles, labelled=labelled)
                ax.set_title(next(left), loc="left")
                ax.set_xlabel(axes[0])
                if place == 0:
                    ax.set_ylabel(axes[1])
                if plane.lost:
                    draw_margin(below[place], plane.found.breakdowns, styles, called, letters)
            for ax in own[len(row) :]:
                ax.remove()
            for place, ax in enumerate(below):
                if place >= len(row) or not row[place].lost:
                    ax.remove()
        return figure

    lost = (
        f" {MARKED} A strategy has no point at such a strength."
        if any(plane.lost for plane in planes)
        else ""
    )
    return Plot(
        name,
        "Stability and plasticity",
        f"{caption} {HOW}{lost}".strip(),
        f"Stability-plasticity plane of {', '.join(p.title or p.found.scenario for p in planes)}, "
        f"for {', '.join(called.values())}",
        pd.concat([_frame(plane) for plane in planes], ignore_index=True),
        draw,
    )


def _draw_plane(ax: Axes, plane: Plane, styles: Mapping[Variant, Style], *, labelled: bool) -> None:
    ways = [[_place(point) for point in points if _placed(point)] for _, points in plane.lines]
    drawn = [
        mark
        for (_, points), width in zip(plane.lines, nested(ways, 1.2), strict=True)
        for mark in _draw(ax, points, styles, width)
    ]
    _limit(ax, ticks=7)
    sizes = keep_visible(ax, [line for _, line in drawn], MARKER)
    if not labelled:
        return
    write_labels(
        ax,
        [
            Label(strength_text(p.variant.strength), *_place(p), styles[p.variant].ink)
            for p, _ in drawn
            if p.variant.strength is not None
        ],
        [
            *((*_place(point), size) for (point, _), size in zip(drawn, sizes, strict=True)),
            *((*spot, _SEED) for point, _ in drawn for spot in _seeds(point)),
        ],
        [*ways, *(bar for point, _ in drawn for bar in _bars(point))],
    )


def _placed(point: Point) -> bool:
    return point.x.value is not None and point.y.value is not None


def _frame(plane: Plane) -> pd.DataFrame:
    """One row a variant: its place, or without one how many seeds it lost."""
    found = plane.found
    lost = {loss.variant: (len(loss.diverged), len(loss.broken)) for loss in found.breakdowns}
    rows: list[tuple[object, ...]] = [
        (p.variant.label, p.x.value, p.x.low, p.x.high, p.y.value, p.y.low, p.y.high, p.dominated,
         *lost.pop(p.variant, (0, 0)))
        for _, points in plane.lines
        for p in points
    ]  # fmt: skip
    rows += [(variant.label, *[None] * 6, False, *counts) for variant, counts in lost.items()]
    x, y = ([name, f"{name}_low", f"{name}_high"] for name in ("learning_accuracy", "stability"))
    columns = ["variant", *x, *y, "dominated", "diverged", "broke_down"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys((*x, *y), float))
    frame.insert(0, "scenario", found.scenario)
    return frame


def _draw(
    ax: Axes, points: Sequence[Point], styles: Mapping[Variant, Style], width: float
) -> list[tuple[Point, Line2D]]:
    """Draw a strategy's points and what joins them; return those with a place and their marker."""
    placed = [point for point in points if _placed(point)]
    if len(placed) > 1:
        places = [_place(point) for point in placed]
        look = styles[placed[0].variant]
        ax.plot(
            *zip(*places, strict=True), color=look.base, linestyle=look.linestyle, linewidth=width,
            zorder=2,
        )  # fmt: skip
    for point in points:
        look = styles[point.variant]
        if point.x.value is None and point.y.value is not None:
            ax.axhline(100 * point.y.value, color=look.color, linestyle="--", linewidth=1)
    drawn = []
    for point in placed:
        look = styles[point.variant]
        x, y = _place(point)
        _draw_seeds(ax, point, PALE if point.dominated else look.color)
        for bar in _bars(point):
            ax.plot(
                *zip(*bar, strict=True), color=PALE if point.dominated else look.color, alpha=0.45,
                linewidth=1, zorder=1,
            )  # fmt: skip
        (mark,) = ax.plot(
            x, y, look.marker, color="white" if point.dominated else look.color, markersize=MARKER,
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
    across, up = _ends(point.x), _ends(point.y)
    found = [[(end, y) for end in across]] if across else []
    return [*found, [(x, end) for end in up]] if up else found


def _draw_seeds(ax: Axes, point: Point, color: str) -> None:
    """Draw the single seeds of a point that has too few of them for an interval."""
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


def _ends(found: Estimate) -> tuple[float, float] | None:
    """An interval in per cent."""
    if found.low is None or found.high is None:
        return None
    return 100 * found.low, 100 * found.high


def _handle(styles: Mapping[Variant, Style], points: Sequence[Point]) -> Line2D:
    """A legend's key; without a marker, of the line that stands for a point."""
    look = styles[points[0].variant]
    marked = any(_placed(point) for point in points)
    return Line2D(
        [], [], color=look.base, marker=look.marker if marked else "", markersize=MARKER,
        linestyle=look.linestyle if len(points) > 1 else "" if marked else "--", linewidth=1.2,
    )  # fmt: skip


def _limit(ax: Axes, ticks: int) -> None:
    """Leave room around the points, and show neither less than some points nor the impossible."""
    for get, put in ((ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)):
        low, high = get()
        missing = max(0.0, _SPAN - (high - low)) / 2
        margin = missing + 0.03 * (high - low)
        put(max(-2.0, low - margin), min(102.0, high + margin))
    ax.locator_params(nbins=ticks)
