"""Points in a plane of two quantities, with their intervals or seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from palimpsest.reports.analysis.frontier import Point
from palimpsest.reports.figures.drawing.canvas import LEAST_SPAN, MARKER
from palimpsest.reports.figures.drawing.labels import Label, write_labels
from palimpsest.reports.figures.drawing.settings import PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.statistics.interval import Estimate

Spot = tuple[float, float]
"""A position, in units of the axes."""

_SEED_SIZE = 3.2  # points: of a single seed


@dataclass(frozen=True)
class PlanePoint:
    """A point as it is drawn, in units of the axes.

    Attributes:
        spot: The mean in both quantities.
        bars: The intervals, as lines.
        seeds: Single seeds, where there are too few for an interval.
    """

    spot: Spot
    bars: Sequence[Sequence[Spot]]
    seeds: Sequence[Spot]


def plane_point(x: Estimate, y: Estimate, scale: Spot = (100, 100)) -> PlanePoint | None:
    """Return a point of two means times ``scale``; ``None`` where one of them is undefined."""
    if x.value is None or y.value is None:
        return None
    across, up = scale
    spot = (across * x.value, up * y.value)
    bars: list[list[Spot]] = []
    if x.low is not None and x.high is not None:
        bars.append([(across * end, spot[1]) for end in (x.low, x.high)])
    if y.low is not None and y.high is not None:
        bars.append([(spot[0], up * end) for end in (y.low, y.high)])
    alone = x.low is None and 1 < len(x.seeds) == len(y.seeds)
    pairs = zip(x.seeds, y.seeds, strict=True) if alone else ()
    return PlanePoint(spot, bars, [(across * a, up * b) for a, b in pairs])


def draw_point(
    ax: Axes, point: PlanePoint, style: Style, color: str, *, hollow: bool = False
) -> Line2D:
    """Draw a point with its intervals or seeds, and return its marker."""
    spread = PALE if hollow else color
    if point.seeds:
        ax.plot(
            *zip(*point.seeds, strict=True), "o", color=spread, alpha=0.6, markersize=_SEED_SIZE,
            markeredgewidth=0, zorder=2,
        )  # fmt: skip
    for bar in point.bars:
        ax.plot(*zip(*bar, strict=True), color=spread, alpha=0.45, linewidth=1, zorder=1)
    (mark,) = ax.plot(
        *point.spot, style.marker, color="white" if hollow else color, markersize=MARKER, zorder=3,
        clip_on=False, markeredgecolor=style.base if hollow else "white",
        markeredgewidth=1.0 if hollow else 0.6,
    )  # fmt: skip
    return mark


def label_points(
    ax: Axes,
    drawn: Sequence[tuple[PlanePoint, float]],
    labels: Sequence[Label],
    lines: Sequence[Sequence[Spot]],
) -> None:
    """Write labels where they cover little of the points, given with the sizes of their markers.

    The lines through the points and the intervals are avoided, too. Limits of the axes are final.
    """
    markers = [(*point.spot, size) for point, size in drawn]
    markers += [(*seed, _SEED_SIZE) for point, _ in drawn for seed in point.seeds]
    write_labels(ax, labels, markers, [*lines, *(bar for point, _ in drawn for bar in point.bars)])


def draw_points(
    ax: Axes, points: Sequence[Point], styles: Mapping[Variant, Style], width: float
) -> list[tuple[Point, PlanePoint, Line2D]]:
    """Draw a strategy's points in per cent, from weak to strong, and the line that joins them.

    A point that has only a stability is a horizontal line.

    Returns:
        The other points, each with its place and its marker.
    """
    placed = [(point, own) for point in points if (own := plane_point(point.x, point.y))]
    if len(placed) > 1:
        look = styles[placed[0][0].variant]
        ax.plot(
            *zip(*(own.spot for _, own in placed), strict=True), color=look.base,
            linestyle=look.linestyle, linewidth=width, zorder=2,
        )  # fmt: skip
    for point in points:
        if point.x.value is None and point.y.value is not None:
            color = styles[point.variant].color
            ax.axhline(100 * point.y.value, color=color, linestyle="--", linewidth=1)
    drawn = []
    for point, own in placed:
        look = styles[point.variant]
        drawn.append((point, own, draw_point(ax, own, look, look.color, hollow=point.dominated)))
    return drawn


def handle_of(styles: Mapping[Variant, Style], points: Sequence[Point]) -> Line2D:
    """Return a legend's key; without a marker where a line is drawn in place of a point."""
    look = styles[points[0].variant]
    marked = any(plane_point(point.x, point.y) for point in points)
    return Line2D(
        [], [], color=look.base, marker=look.marker if marked else "", markersize=MARKER,
        linestyle=look.linestyle if len(points) > 1 else "" if marked else "--", linewidth=1.2,
    )  # fmt: skip


def limit_axes(ax: Axes, ticks: int) -> None:
    """Leave space around the points, show at least ``LEAST_SPAN``, and stay within 0 and 100 %."""
    for get, put in ((ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)):
        low, high = get()
        missing = max(0.0, LEAST_SPAN - (high - low)) / 2
        margin = missing + 0.03 * (high - low)
        put(max(-2.0, low - margin), min(102.0, high + margin))
    ax.locator_params(nbins=ticks)
