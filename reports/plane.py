"""The stability-plasticity plane: what a strategy keeps against what its new models reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from reports.aggregate import summary_frame
from reports.cells import REFERENCES, Cell, Variant, strength_text
from reports.plot import Plot
from reports.style import Style, wrapped

X, Y = "learning_accuracy", "stability"
_SPAN = 4.0  # points: the least an axis shows, so that noise does not look like a difference


@dataclass(frozen=True)
class _Point:
    x: float
    y: float
    variant: Variant


def plane_plot(cells: Sequence[Cell], style: Mapping[Variant, Style], name: str) -> Plot | None:
    """Show each variant's mean with its 95 % intervals, a strategy's strengths joined in order.

    A variant with a stability but no learning accuracy (``joint`` with more than two models)
    is a horizontal line.

    Args:
        cells: One scenario's cells with finished runs.
        style: How each variant is drawn.
        name: Unique in the report.

    Returns:
        The plot, or ``None`` where there is nothing to place (one model).
    """
    summary = summary_frame(cells)
    table = summary.set_index(["variant", "metric"])[["mean", "low", "high"]] * 100
    places = {cell.variant: (_value(table, cell, X), _value(table, cell, Y)) for cell in cells}
    if not any(x is not None and y is not None for x, y in places.values()):
        return None

    def draw() -> Figure:
        figure = Figure(figsize=(7.4, 4.6), layout="constrained")
        ax = figure.subplots()
        points: list[_Point] = []
        handles: list[tuple[Line2D, str]] = []
        colored = 0
        for strategy, group in groupby(cells, key=lambda cell: cell.variant.strategy):
            members = [cell.variant for cell in group]
            # Strategies that coincide stay visible: each later one is a little smaller.
            size = 7.0 if members[0].kind in REFERENCES else max(5.0, 8.5 - colored)
            colored += members[0].kind not in REFERENCES
            own = []
            for variant in members:
                x, y = places[variant]
                if y is not None and x is None:
                    ax.axhline(y["mean"], color=style[variant].color, linestyle="--", linewidth=1)
                elif x is not None and y is not None:
                    _cross(ax, x, y, style[variant].color)
                    own.append(_Point(x["mean"], y["mean"], variant))
            _frontier(ax, own, style, size)
            handles.append((_handle(style[members[0]], len(members), size if own else 0), strategy))
            points += own
        _limits(ax)
        ax.set(xlabel="plasticity: learning accuracy of the new models, %")
        ax.set_ylabel("stability: final accuracy of the earlier models, %")
        ax.grid(color="black", alpha=0.08, linewidth=0.6)
        lines, labels = zip(*handles, strict=True)
        ax.legend(
            lines, [wrapped(label, 24) for label in labels], loc="upper left",
            bbox_to_anchor=(1.02, 1), borderaxespad=0,
        )  # fmt: skip
        figure.draw_without_rendering()
        _label(ax, points, style)
        return figure

    return Plot(
        name,
        "Stability and plasticity",
        "Each strategy’s frontier over its strengths, light (weak) to dark (strong) and labelled; "
        "up and to the right is better. Crosses are 95 % intervals over seeds. Grey marks the "
        "references.",
        f"Stability-plasticity plane of {cells[0].scenario}",
        summary[summary["metric"].isin([X, Y])],
        draw,
    )


def _value(table: pd.DataFrame, cell: Cell, metric: str) -> Any:
    row = table.loc[(cell.variant.label, metric)]
    return None if pd.isna(row["mean"]) else row


def _cross(ax: Axes, x: Any, y: Any, color: str) -> None:
    line: dict[str, Any] = {"color": color, "alpha": 0.45, "linewidth": 1, "zorder": 1}
    if not pd.isna(x["low"]):
        ax.plot([x["low"], x["high"]], [y["mean"]] * 2, **line)
    if not pd.isna(y["low"]):
        ax.plot([x["mean"]] * 2, [y["low"], y["high"]], **line)


def _frontier(
    ax: Axes, points: Sequence[_Point], style: Mapping[Variant, Style], size: float
) -> None:
    if points:
        color = style[points[0].variant].base
        ax.plot([p.x for p in points], [p.y for p in points], color=color, linewidth=1.2)
    for point in points:
        look = style[point.variant]
        ax.plot(
            point.x, point.y, look.marker, color=look.color, markersize=size, zorder=3,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip


def _handle(look: Style, strengths: int, size: float) -> Line2D:
    """A legend's key; without a size, of the line that stands for a point."""
    return Line2D(
        [], [], color=look.base, marker=look.marker if size else "", markersize=size,
        linestyle="-" if strengths > 1 else "" if size else "--", linewidth=1.2,
    )  # fmt: skip


def _limits(ax: Axes) -> None:
    """Leave room around the points, and show neither less than some points nor the impossible."""
    for get, put in ((ax.get_xlim, ax.set_xlim), (ax.get_ylim, ax.set_ylim)):
        low, high = get()
        missing = max(0.0, _SPAN - (high - low)) / 2
        margin = missing + 0.03 * (high - low)
        put(max(-2.0, low - margin), min(102.0, high + margin))
    ax.locator_params(nbins=7)


def _label(ax: Axes, points: Sequence[_Point], style: Mapping[Variant, Style]) -> None:
    """Write each strength beside its point, at the first place where nothing else stands."""
    scale = ax.figure.dpi / 72
    spots = ax.transData.transform([(point.x, point.y) for point in points]) / scale
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
            text, (point.x, point.y), xytext=(dx, dy), textcoords="offset points", ha="center",
            va="center", color=style[point.variant].ink, fontsize=8,
        )  # fmt: skip


_OFFSETS = (
    *((1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)),
    *((0.0, 1.4), (0.0, -1.4), (1.2, 0.0), (-1.2, 0.0)),
    *((1.0, 2.6), (-1.0, 2.6), (1.0, -2.6), (-1.0, -2.6), (2.6, 0.0), (-2.6, 0.0)),
)
