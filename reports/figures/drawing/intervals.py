"""Drawing means with their intervals over a number, joined by a line."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.transforms import ScaledTranslation

from palimpsest.reports.figures.drawing.canvas import LINE, MARKER
from palimpsest.reports.figures.drawing.marks import Mark, note_each
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.statistics.interval import Estimate


def draw_intervals(
    ax: Axes,
    x: Sequence[float],
    found: Sequence[Estimate],
    scale: float,
    style: Style,
    *,
    aside: float = 0.0,
    marker: float = MARKER,
    label: str = "",
    marks: Sequence[Mark] = (),
) -> None:
    """Draw means with their 95 % intervals, joined by a line; undefined ones are left out.

    With too few seeds for an interval, the seeds are drawn one by one (``plot.SPREAD``).

    Args:
        ax: Where to draw.
        x: Positions.
        found: The mean at each position.
        scale: A factor for all values.
        style: The style of the line.
        aside: Points to the right, so that intervals at one position do not hide each other.
        marker: Points, the size of markers.
        label: Of the line in a legend of the axes.
        marks: The text of each mean for a reader who points at it.
    """
    known = [(p, i.value, i) for p, i in zip(x, found, strict=True) if i.value is not None]
    if not known:
        return
    means = [(place, scale * mean) for place, mean, _ in known]
    bars = [
        [(place, scale * one.low), (place, scale * one.high)]
        for place, _, one in known
        if one.low is not None and one.high is not None
    ]
    alone = [(place, scale * seed) for place, _, i in known if i.low is None for seed in i.seeds]
    placed = ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans)
    ax.add_collection(
        LineCollection(bars, colors=style.color, alpha=0.6, linewidths=1.0, transform=placed), False
    )
    (line,) = ax.plot(
        *zip(*means, strict=True), color=style.color, linestyle=style.linestyle, linewidth=LINE,
        marker=style.marker, markersize=marker, markeredgecolor="white", markeredgewidth=0.4,
        transform=placed, label=label,
    )  # fmt: skip
    if marks:
        drawn = zip(marks, found, strict=True)
        note_each([mark for mark, one in drawn if one.value is not None], line)
    if alone:
        ax.plot(
            *zip(*alone, strict=True), ".", color=style.color, alpha=0.6, markersize=4.5,
            markeredgewidth=0, transform=placed,
        )  # fmt: skip
    # The limits of the axes do not include the shift to the side.
    ax.update_datalim([*means, *alone, *(end for bar in bars for end in bar)])
    ax.autoscale_view()


def drawn_range(found: Estimate) -> tuple[float, float, float]:
    """Return a mean and the ends of its interval; of few seeds the lowest and the highest."""
    value, low, high = found.value, found.low, found.high
    low = found.minimum if low is None else low
    high = found.maximum if high is None else high
    if value is None or low is None or high is None:
        raise ValueError("an undefined mean cannot be drawn")
    return value, low, high
