"""Interactive figures: a script of the page draws them again, from their data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palimpsest.reports.analysis.frontier import Frontiers, Point
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import bracketed
from palimpsest.reports.wording.words import several


@dataclass(frozen=True, eq=False)
class LivePlot(Plot):
    """A figure that a script draws again, so that a reader can point at its parts.

    On paper, and without scripts, the page shows the figure itself.

    Attributes:
        script: Its script: ``plane`` or ``curves``, in ``scripts/``.
        live: The data of the script.
        packed: The measured numbers, where there are so many that they stand in the page gzipped:
            as JSON, for the script and for the reader to save.
    """

    script: str
    live: Mapping[str, Any]
    packed: Mapping[str, Any] = field(default_factory=dict)


def dash(linestyle: Any) -> str:
    """Return the dashes of Matplotlib's line style in SVG: lengths in pixels, nothing if solid."""
    if linestyle == "-":
        return ""
    if linestyle == "--":
        return "6 3"
    _, lengths = linestyle
    return " ".join(f"{2 * length:g}" for length in lengths)


def live_plane(plot: Plot, found: Frontiers, look: Mapping[Variant, Style]) -> LivePlot:
    """Return a plane with the data of its interactive version."""
    return LivePlot(**vars(plot), script="plane", live=plane_data(found, look))


def plane_data(found: Frontiers, look: Mapping[Variant, Style]) -> dict[str, Any]:
    """Return the points of a plane, in per cent.

    Returns:
        ``lines``, one per strategy: ``strategy``, ``color``, ``dash`` (lengths, as SVG has them),
        ``marker`` (as Matplotlib names it), ``reference``, ``points`` and ``levels``. A point has
        ``at`` (its strength, as text), ``color``, ``hollow``, ``x`` and ``y`` (the mean and the
        ends of its interval), ``seeds`` (places) and ``told`` (lines of text). Levels are the
        stabilities of variants without a learning accuracy.
    """
    lines = [(one.strategy, one.points, False) for one in found.frontiers]
    lines += [(end.variant.strategy, (end,), True) for end in found.ends]
    return {
        "lines": [
            {
                "strategy": strategy,
                "color": look[points[0].variant].base,
                "dash": dash(look[points[0].variant].linestyle),
                "marker": look[points[0].variant].marker,
                "reference": reference,
                "points": [_point(point, look[point.variant]) for point in _placed(points)],
                "levels": [
                    _percent(point.y.value)
                    for point in points
                    if point.x.value is None and point.y.value is not None
                ],
            }
            for strategy, points, reference in lines
        ]
    }


def _placed(points: Sequence[Point]) -> Iterator[Point]:
    return (point for point in points if point.x.value is not None and point.y.value is not None)


def _point(point: Point, style: Style) -> dict[str, Any]:
    x, y = point.x, point.y
    seeds = zip(x.seeds, y.seeds, strict=True) if len(x.seeds) == len(y.seeds) else ()
    return {
        "at": point.variant.value,
        "color": style.color,
        "hollow": point.dominated,
        "x": _ends(x),
        "y": _ends(y),
        "seeds": [[_percent(a), _percent(b)] for a, b in seeds],
        "told": [
            point.variant.label,
            f"stability {bracketed(y, '%')}",
            f"learning accuracy {bracketed(x, '%')}",
            several(y.n, "seed") + (", dominated by another variant" if point.dominated else ""),
        ],
    }


def _ends(found: Estimate) -> list[float | None]:
    return [None if end is None else _percent(end) for end in (found.value, found.low, found.high)]


def _percent(value: float) -> float:
    return round(100 * value, 3)
