"""The stability-plasticity plane: what a strategy keeps against what its new models reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from reports.bootstrap import Estimate
from reports.breakdown_marks import MARKED, draw_margin
from reports.cells import Variant, strength_text
from reports.formatting import percent, several
from reports.frontier import Frontier, Frontiers, Point
from reports.plot import Plot
from reports.statistics import FEWEST_SEEDS
from reports.style import PALE, Style, wrapped

_SPAN = 4.0  # points: the least an axis shows, so that noise does not look like a difference
_END_SIZE = 7.0
_SPREAD = (
    "Thin lines are 95 % intervals over seeds; small points are single seeds, where fewer than "
    f"{FEWEST_SEEDS} ran."
)
_HEIGHT = 4.6  # inches, without the margin for what was lost


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

    rows = len({loss.variant.strategy for loss in found.breakdowns})
    unequal = len({frontier.budget for frontier in found.frontiers}) > 1

    def draw() -> Figure:
        # Placed by hand: a layout engine would draw everything twice.
        margin = 0.45 + 0.3 * rows if rows else 0.0
        height = _HEIGHT + margin
        figure = Figure(figsize=(8.2, height))
        ax = figure.add_axes(
            (0.075, (0.11 * _HEIGHT + margin) / height, 0.625, 0.86 * _HEIGHT / height)
        )
        if rows:
            below = figure.add_axes((0.075, 0.42 / height, 0.625, 0.3 * rows / height))
            draw_margin(below, found.breakdowns, style, 30)
        handles = []
        for place, frontier in enumerate(found.frontiers):
            # Strategies that coincide stay visible: each later one is a little smaller.
            size = max(5.0, 8.5 - place)
            _draw(ax, frontier.points, style, size)
            handles.append((_handle(style, frontier.points, size), _legend(frontier, unequal)))
        for end in found.ends:
            _draw(ax, (end,), style, _END_SIZE)
            handles.append((_handle(style, (end,), _END_SIZE), end.variant.strategy))
        limit(ax, ticks=7)
        ax.set(xlabel="plasticity: learning accuracy of the new models, %")
        ax.set_ylabel("stability: final accuracy of the earlier models, %")
        ax.grid(color="black", alpha=0.08, linewidth=0.6)
        keys, labels = zip(*handles, strict=True)
        ax.legend(
            keys, [wrapped(label, 30) for label in labels], loc="upper left",
            bbox_to_anchor=(1.02, 1), borderaxespad=0, labelspacing=0.7,
        )  # fmt: skip
        _label(ax, [p for _, points in lines for p in points if _placed(p)], style)
        return figure

    return Plot(
        name,
        "Stability and plasticity",
        "Each strategy’s frontier over its strengths, light (weak) to dark (strong) and labelled; "
        f"up and to the right is better. {_SPREAD} Hollow points "
        "are dominated: another variant is at least as good in both. Grey marks the references; "
        "fine-tuning and freezing are the free ends of every frontier, independent and joint "
        f"training share nothing or see all data at once."
        f"{f' {MARKED} A strategy has no point at such a strength.' if rows else ''}",
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


def _draw(ax: Axes, points: Sequence[Point], style: Mapping[Variant, Style], size: float) -> None:
    """Draw a strategy's points and what joins them."""
    placed = [point for point in points if _placed(point)]
    if len(placed) > 1:
        places = [_place(point) for point in placed]
        base = style[placed[0].variant].base
        ax.plot(*zip(*places, strict=True), color=base, linewidth=1.2)
    for point in points:
        look = style[point.variant]
        if point.x.value is None and point.y.value is not None:
            ax.axhline(100 * point.y.value, color=look.color, linestyle="--", linewidth=1)
    for point in placed:
        look = style[point.variant]
        x, y = _place(point)
        _cross(ax, x, y, point, PALE if point.dominated else look.color)
        ax.plot(
            x, y, look.marker, color="white" if point.dominated else look.color, markersize=size,
            zorder=3, markeredgecolor=look.base if point.dominated else "white",
            markeredgewidth=1.0 if point.dominated else 0.6,
        )  # fmt: skip


def _place(point: Point) -> tuple[float, float]:
    return 100 * (point.x.value or 0.0), 100 * (point.y.value or 0.0)


def _cross(ax: Axes, x: float, y: float, point: Point, color: str) -> None:
    line: dict[str, Any] = {"color": color, "alpha": 0.45, "linewidth": 1, "zorder": 1}

    def ends(found: Estimate) -> list[float] | None:
        known = found.low is not None and found.high is not None
        return [100 * (found.low or 0.0), 100 * (found.high or 0.0)] if known else None

    across, up = ends(point.x), ends(point.y)
    draw_seeds(ax, point, color)
    if across:
        ax.plot(across, [y, y], **line)
    if up:
        ax.plot([x, x], up, **line)


def draw_seeds(ax: Axes, point: Point, color: str) -> None:
    """Draw the single seeds of a point that has too few of them for an interval.

    Args:
        ax: Accuracies in per cent, on both axes.
        point: Whose.
        color: Of the points.
    """
    x, y = ([100 * value for value in place.seeds] for place in (point.x, point.y))
    if point.x.low is None and 1 < len(x) == len(y):
        ax.plot(x, y, "o", color=color, alpha=0.6, markersize=3.2, markeredgewidth=0, zorder=2)


def _handle(style: Mapping[Variant, Style], points: Sequence[Point], size: float) -> Line2D:
    """A legend's key; without a marker, of the line that stands for a point."""
    look = style[points[0].variant]
    marked = any(_placed(point) for point in points)
    return Line2D(
        [], [], color=look.base, marker=look.marker if marked else "", markersize=size,
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


def _label(ax: Axes, points: Sequence[Point], style: Mapping[Variant, Style]) -> None:
    """Write each strength beside its point, at the first place where nothing else stands."""
    scale = ax.figure.dpi / 72
    spots = ax.transData.transform([_place(point) for point in points]) / scale
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in spots]
    for (x, y), point in zip(spots, points, strict=True):
        if point.variant.strength is None:
            continue
        text = strength_text(point.variant.strength)
        width, height = 5.4 * len(text), 9
        for right, up in _OFFSETS:
            dx, dy = right * (6 + width / 2), up * (5 + height / 2)
            box = Bbox.from_bounds(x + dx - width / 2, y + dy - height / 2, width, height)
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        ax.annotate(
            text, _place(point), xytext=(dx, dy), textcoords="offset points", ha="center",
            va="center", color=style[point.variant].ink, fontsize=8,
        )  # fmt: skip


_OFFSETS = (
    *((1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)),
    *((0.0, 1.4), (0.0, -1.4), (1.2, 0.0), (-1.2, 0.0)),
    *((1.0, 2.6), (-1.0, 2.6), (1.0, -2.6), (-1.0, -2.6), (2.6, 0.0), (-2.6, 0.0)),
)
