"""The stability-plasticity plane: what a strategy keeps against what its new models reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.benchmark.runs.record import STRENGTH, Dial
from palimpsest.reports.analysis.frontier import Frontier, Frontiers, Point
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.breakdown_marks import draw_margin, marked
from palimpsest.reports.figures.drawing.canvas import MARKER, WIDTH, Margins, canvas, titled
from palimpsest.reports.figures.drawing.labels import Label, lines_of, wrapped
from palimpsest.reports.figures.drawing.overlap import keep_visible, nested
from palimpsest.reports.figures.drawing.plot import SPREAD, Plot
from palimpsest.reports.figures.drawing.points import (
    draw_points,
    handle_of,
    label_points,
    limit_axes,
    plane_point,
)
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant, dial_of
from palimpsest.reports.wording.numbers import percent
from palimpsest.reports.wording.words import several

_NAME = 42  # letters per line of a name in the legend

# Inches: height of a single plane, of one of several, of a row of the margin for lost strengths.
_ALONE, _SEVERAL, _ROW = 4.2, 2.9, 0.3


def _how(dial: Dial) -> str:
    """Return the part of a caption that explains every plane."""
    near = ", near fine-tuning" if dial == STRENGTH else ""
    low, high = dial.adjectives
    return (
        f"Each line goes through the {dial.plural} of a strategy, light ({low}{near}) to dark "
        f"({high}). {SPREAD} Hollow points are dominated: another variant is at least as good "
        "in both. Points that coincide are drawn inside one another."
    )


_REFERENCES = (
    "Up and to the right is better. Grey marks the references: fine-tuning and freezing are the "
    "ends of every frontier and cost nothing to reach; independent training shares nothing, and "
    "joint training sees all data at once."
)


@dataclass(frozen=True, eq=False)
class Plane:
    """One pair of axes.

    Attributes:
        title: Shown above it; may be empty.
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
    *,
    axes: tuple[str, str],
    names: Mapping[str, str] | None = None,
    remarks: Mapping[str, str] | None = None,
    labelled: bool = False,
) -> Plot | None:
    """Show each variant's mean with its 95 % intervals, with lines through the strengths.

    A variant with a stability but no learning accuracy (``joint`` with more than two models)
    is a horizontal line.

    Args:
        planes: One or several scenarios.
        styles: The style of each variant.
        axes: Names of the x and y axis.
        names: Other names of strategies for the reader.
        remarks: Added to the names of strategies in the legend.
        labelled: Whether strengths are written beside their points.

    Returns:
        The plot, or ``None`` where there is nothing to place (one model).
    """
    if not any(plane_point(p.x, p.y) for plane in planes for _, own in plane.lines for p in own):
        return None
    points = {s: own for plane in reversed(planes) for s, own in plane.lines}
    ends = {end.variant.strategy for plane in planes for end in plane.found.ends}
    every = {
        strategy: strategy for plane in planes for strategy in [*dict(plane.lines), *plane.lost]
    }
    # Strategies come before the references, both in the order of the names.
    order = {strategy: place for place, strategy in enumerate(names or {})}
    called = {
        strategy: (names or {}).get(strategy, strategy)
        for strategy in sorted(every, key=lambda s: (s in ends, order.get(s, len(order))))
    }
    keys = [
        (handle_of(styles, points[s]), wrapped(called[s] + (remarks or {}).get(s, ""), _NAME))
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

    dial = dial_of(variant for plane in planes for variant in plane.found.variants)
    lost = (
        f" {marked(dial)} A strategy has no point at such a {dial.name}."
        if any(plane.lost for plane in planes)
        else ""
    )
    return Plot(
        "Stability and plasticity",
        f"{_how(dial)}{lost}",
        f"Stability-plasticity plane of {', '.join(p.title or p.found.scenario for p in planes)}, "
        f"for {', '.join(called.values())}",
        pd.concat([_frame(plane) for plane in planes], ignore_index=True),
        draw,
    )


def _draw_plane(ax: Axes, plane: Plane, styles: Mapping[Variant, Style], *, labelled: bool) -> None:
    placed = [[plane_point(point.x, point.y) for point in points] for _, points in plane.lines]
    paths = [[point.spot for point in own if point] for own in placed]
    drawn = [
        mark
        for (_, points), width in zip(plane.lines, nested(paths, 1.2), strict=True)
        for mark in draw_points(ax, points, styles, width)
    ]
    limit_axes(ax, ticks=7)
    labels = [
        Label(point.variant.value, *own.spot, styles[point.variant].ink)
        for point, own, _ in drawn
        if labelled and point.variant.strength is not None
    ]
    sizes = keep_visible(ax, [mark for *_, mark in drawn], MARKER)
    points = [own for _, own, _ in drawn]
    label_points(ax, list(zip(points, sizes, strict=True)), labels, paths)


def _frame(plane: Plane) -> pd.DataFrame:
    """One row per variant: its position if it has one, and how many seeds it lost."""
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


def _of_report(scope: report.Scope) -> Plot | None:
    """The plane of a scenario; its legend has the hypervolume of each frontier."""
    found = scope.frontiers
    unequal = len({frontier.budget for frontier in found.frontiers}) > 1
    plot = plane_plot(
        [Plane("", found)],
        scope.styles,
        axes=(
            "learning accuracy of the new models, %",
            "stability: final accuracy of the earlier models, %",
        ),
        remarks={each.strategy: _filled(each, unequal=unequal) for each in found.frontiers},
        labelled=True,
    )
    return plot and replace(plot, caption=f"{_REFERENCES} {plot.caption}")


def _filled(frontier: Frontier, *, unequal: bool) -> str:
    area = frontier.hypervolume
    if area.value is None:
        return ""
    dial = dial_of(point.variant for point in frontier.points).name
    with_what = f" with {several(frontier.budget, dial)}" if unequal else ""
    return f" (fills {percent(area.value)} %{with_what})"


FIGURE = report.Figure(
    "plane", "answer", 2, _of_report, "runs of two models or more",
    notebook="frontier", shows="turns",
)  # fmt: skip
