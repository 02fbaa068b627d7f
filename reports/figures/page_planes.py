"""Frontiers in the plane of A and B: what a strategy keeps against what B reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.analysis.frontier import Point, frontiers
from reports.figures.canvas import LINE, MARKER, SPREAD, Key, Margins, canvas, line_keys, titled
from reports.figures.looks import Look
from reports.figures.plane import draw_seeds, ends, keep_visible, limit
from reports.figures.plot import Plot
from reports.figures.style import nested
from reports.runs.cells import Cell
from reports.wording.numbers import strength_text

_CROSSES = 27  # in a row at the margin


@dataclass(frozen=True)
class Plane:
    """One panel.

    Attributes:
        title: The scenario's name for the reader.
        strategies: Each strategy's cells from weak to strong, by its name.
        ends: Fine-tuning and freezing, by name, as far as they ran.
    """

    title: str
    strategies: Mapping[str, Sequence[Cell]]
    ends: Mapping[str, Cell]


def planes_plot(
    planes: Sequence[Plane],
    looks: Mapping[str, Look],
    names: Mapping[str, str],
    name: str,
    caption: str,
) -> Plot:
    """Make the figure: a panel for each scenario.

    Args:
        planes: The scenarios.
        looks: Of each strategy and end.
        names: Of the same, for the reader.
        name: Of the file.
        caption: What the page says of it.
    """
    placed = [_points(plane) for plane in planes]
    lost = [_failures(plane, names) for plane in planes]
    across = min(len(planes), 2)

    def draw() -> Figure:
        keys: list[Key] = line_keys(looks, names, marked=True)
        down = -(-len(planes) // across)
        titles, margins = titled(
            [plane.title for plane in planes], across, Margins(across=0.55, down=0.75)
        )
        figure, grid = canvas(down, across, 2.9, keys, margins)
        axes = [ax for row in grid for ax in row]
        for ax, plane, points, title in zip(axes, planes, placed, titles, strict=False):
            shown = {**plane.strategies, **_alone(plane.ends)}
            drawn = {
                strategy: [points[cell] for cell in cells if cell in points]
                for strategy, cells in shown.items()
            }
            wide = nested([_places(own) for own in drawn.values()], LINE)
            marks = [
                mark
                for (strategy, own), width in zip(drawn.items(), wide, strict=True)
                for mark in _draw(ax, own, looks[strategy], width)
            ]
            limit(ax, ticks=6)
            keep_visible(ax, marks, MARKER)
            _crosses(ax, plane, looks)
            ax.set_title(title, loc="left")
            ax.set(xlabel="B, %")
        for place, ax in enumerate(axes[: len(planes)]):
            if place % across == 0:
                ax.set_ylabel("A at the end, %")
        for ax in axes[len(planes) :]:
            ax.remove()
        return figure

    how = (
        "Each line goes through the strengths of a strategy, from weak (near fine-tuning) to "
        f"strong. {SPREAD} Hollow points are dominated: another variant of the panel is at least "
        "as good in both."
    )
    failed = [text for text in lost if text]
    if failed:
        how += f" An × at the margin stands for strengths with failed runs: {'; '.join(failed)}."
    return Plot(
        name,
        "",
        f"{caption} {how}".strip(),
        "Accuracy of A at the end over accuracy of B for "
        f"{', '.join(names.values())} in {', '.join(plane.title for plane in planes)}",
        _frame(planes, placed),
        draw,
    )


def _alone(ends: Mapping[str, Cell]) -> dict[str, list[Cell]]:
    return {name: [cell] for name, cell in ends.items()}


def _points(plane: Plane) -> dict[Cell, Point]:
    """The place of every cell with finished runs; what dominates is what the panel shows."""
    cells = [cell for group in plane.strategies.values() for cell in group]
    every = list(dict.fromkeys([*cells, *plane.ends.values()]))
    found = frontiers(every)
    points = [*found.ends, *(p for frontier in found.frontiers for p in frontier.points)]
    by_variant = {point.variant: point for point in points}
    return {cell: by_variant[cell.variant] for cell in every if cell.variant in by_variant}


def _failures(plane: Plane, names: Mapping[str, str]) -> str:
    """Which strengths had failed runs, in words."""
    parts = []
    for strategy, cells in plane.strategies.items():
        strengths = [_failed(cell) for cell in cells if cell.failed]
        if strengths:
            parts.append(f"{names[strategy]} at {', '.join(strengths)}")
    return f"{plane.title}: {', '.join(parts)}" if parts else ""


def _failed(cell: Cell) -> str:
    failed = len({record.seed for record in cell.failed} - {r.seed for r in cell.done})
    strength = "one" if cell.variant.strength is None else strength_text(cell.variant.strength)
    return f"{strength} ({failed} of {failed + len(cell.done)})"


def _crosses(ax: Axes, plane: Plane, looks: Mapping[str, Look]) -> None:
    """Mark strengths with failed runs along the lower edge, a strategy after the other."""
    place = 0
    for strategy, cells in plane.strategies.items():
        for cell in cells:
            if cell.failed:
                look: dict[str, Any] = {"color": looks[strategy].color, "clip_on": False}
                row, column = divmod(place, _CROSSES)
                ax.plot(
                    0.03 + 0.035 * column, 0.035 + 0.05 * row, "x", transform=ax.transAxes,
                    markersize=6, markeredgewidth=1.6, **look,
                )  # fmt: skip
                place += 1


def _places(points: Sequence[Point]) -> list[tuple[float, float]]:
    """The places of points in per cent, of those that have one."""
    return [
        (100 * p.x.value, 100 * p.y.value)
        for p in points
        if p.x.value is not None and p.y.value is not None
    ]


def _draw(ax: Axes, points: Sequence[Point], look: Look, width: float) -> list[Line2D]:
    """Draw a strategy; return the markers."""
    places = _places(points)
    if len(places) > 1:
        ax.plot(
            *zip(*places, strict=True), color=look.color, linewidth=width,
            linestyle=look.linestyle, zorder=2,
        )  # fmt: skip
    marks = []
    for point in points:
        for x, y in _places([point]):
            draw_seeds(ax, point, look.color)
            across, up = ends(point.x), ends(point.y)
            bars = [(across, (y, y))] if across else []
            bars += [((x, x), up)] if up else []
            for bar in bars:
                ax.plot(*bar, color=look.color, alpha=0.35, linewidth=0.9, zorder=1)
            marks += ax.plot(
                x, y, look.marker, markersize=MARKER, zorder=3, clip_on=False,
                color="white" if point.dominated else look.color,
                markeredgecolor=look.color if point.dominated else "white",
                markeredgewidth=1.0 if point.dominated else 0.4,
            )  # fmt: skip
    return marks


def _frame(planes: Sequence[Plane], placed: Sequence[Mapping[Cell, Point]]) -> pd.DataFrame:
    rows = [
        (plane.title, cell.variant.label, point.x.value, point.y.value, point.dominated)
        for plane, points in zip(planes, placed, strict=True)
        for cell, point in points.items()
    ]
    return pd.DataFrame(rows, columns=["scenario", "variant", "second", "first", "dominated"])
