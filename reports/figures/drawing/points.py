"""Points in the stability-plasticity plane, with their intervals or seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from palimpsest.reports.analysis.frontier import Point
from palimpsest.reports.figures.drawing.canvas import LEAST_SPAN, MARKER
from palimpsest.reports.figures.drawing.settings import PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.statistics.interval import Estimate

SEED_SIZE = 3.2  # points: of a single seed


def is_placed(point: Point) -> bool:
    """Whether both its accuracies are known."""
    return point.x.value is not None and point.y.value is not None


def draw_points(
    ax: Axes, points: Sequence[Point], styles: Mapping[Variant, Style], width: float
) -> list[tuple[Point, Line2D]]:
    """Draw a strategy's points, and the line that joins them.

    Args:
        ax: Accuracies in per cent, on both axes.
        points: From weak to strong. One with only a stability is a horizontal line.
        styles: Of each variant.
        width: Of the line, in points.

    Returns:
        The points with both accuracies, each with its marker.
    """
    placed = [point for point in points if is_placed(point)]
    if len(placed) > 1:
        places = [place_of(point) for point in placed]
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
        x, y = place_of(point)
        _draw_seeds(ax, point, PALE if point.dominated else look.color)
        for bar in bars_of(point):
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


def place_of(point: Point) -> tuple[float, float]:
    """Return its coordinates in per cent."""
    return 100 * (point.x.value or 0.0), 100 * (point.y.value or 0.0)


def bars_of(point: Point) -> list[list[tuple[float, float]]]:
    """Return the intervals of a point as lines, where it has them."""
    x, y = place_of(point)
    across, up = _ends(point.x), _ends(point.y)
    found = [[(end, y) for end in across]] if across else []
    return [*found, [(x, end) for end in up]] if up else found


def _draw_seeds(ax: Axes, point: Point, color: str) -> None:
    """Draw the single seeds of a point that has too few of them for an interval."""
    spots = seeds_of(point)
    if spots:
        ax.plot(
            *zip(*spots, strict=True), "o", color=color, alpha=0.6, markersize=SEED_SIZE,
            markeredgewidth=0, zorder=2,
        )  # fmt: skip


def seeds_of(point: Point) -> list[tuple[float, float]]:
    """Return the single seeds of a point, in per cent, where they are drawn."""
    x, y = ([100 * value for value in place.seeds] for place in (point.x, point.y))
    alone = point.x.low is None and 1 < len(x) == len(y)
    return list(zip(x, y, strict=True)) if alone else []


def _ends(found: Estimate) -> tuple[float, float] | None:
    """An interval in per cent."""
    if found.low is None or found.high is None:
        return None
    return 100 * found.low, 100 * found.high


def handle_of(styles: Mapping[Variant, Style], points: Sequence[Point]) -> Line2D:
    """Return a legend's key; without a marker where a line is drawn in place of a point."""
    look = styles[points[0].variant]
    marked = any(is_placed(point) for point in points)
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
