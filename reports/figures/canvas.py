"""What the figures of a page have in common: size, paper, panels and legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, ScaledTranslation

from reports.figures.captions import ALONE
from reports.figures.looks import Look
from reports.figures.style import lines_of, wrapped
from reports.statistics.interval import Estimate

WIDTH = 800 / 96
"""Inches: 800 pixels of a browser, which is what a page of Markdown is wide."""

SPREAD = f"Means over seeds with 95 % intervals; {ALONE}."
"""What a caption says of ``draw_intervals``."""

BAND = 0.15
"""How opaque the band of a 95 % interval is."""

MARKER, LINE = 6.0, 1.6
"""Points: the size of a marker, the width of a line."""

_POINTS = 4  # beside each other in a legend's key

# Inches: of a letter and a line of a title.
_LETTER, _LINE = 0.075, 0.15

Key = tuple[Any, str]
"""A handle and its label in a legend."""


@dataclass(frozen=True)
class Margins:
    """Inches around and between the panels."""

    left: float = 0.62
    right: float = 0.2
    top: float = 0.32
    bottom: float = 0.48
    across: float = 0.3
    down: float = 0.34


def titled(titles: Sequence[str], columns: int, margins: Margins) -> tuple[Sequence[str], Margins]:
    """Break titles of panels into lines that fit over them.

    Args:
        titles: Of the panels.
        columns: How many panels stand side by side.
        margins: Around and between panels.

    Returns:
        The titles, and margins that hold them above every row.
    """
    room = WIDTH - margins.left - margins.right - (columns - 1) * margins.across
    letters = int(room / columns / _LETTER)
    more = _LINE * (lines_of(titles, letters) - 1)
    higher = replace(margins, top=margins.top + more, down=margins.down + more)
    return [wrapped(title, letters) for title in titles], higher


def canvas(
    rows: int,
    columns: int,
    row_height: float,
    keys: Sequence[Key],
    margins: Margins = Margins(),
    **options: Any,
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a grid of panels, its legend below them.

    Args:
        rows: Of panels.
        columns: Of panels.
        row_height: Inches of a panel.
        keys: Of the legend.
        margins: Around and between panels.
        options: For ``Figure.subplots``.
    """
    across = _across(keys, WIDTH - margins.left - margins.right)
    legend = 0.08 + 0.2 * ceil(len(keys) / across) if keys else 0.0
    inner = rows * row_height + (rows - 1) * margins.down
    height = margins.top + inner + margins.bottom + legend
    figure = Figure(figsize=(WIDTH, height))
    # Readers may look at the page on black; the ink of the figures is dark.
    figure.add_artist(
        Rectangle((0, 0), 1, 1, transform=figure.transFigure, facecolor="white", zorder=-9)
    )
    panel = (WIDTH - margins.left - margins.right - (columns - 1) * margins.across) / columns
    grid = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": margins.left / WIDTH,
            "right": 1 - margins.right / WIDTH,
            "bottom": (margins.bottom + legend) / height,
            "top": 1 - margins.top / height,
            "wspace": margins.across / panel,
            "hspace": margins.down / row_height,
        },
        **options,
    )
    if keys:
        handles, labels = zip(*_by_row(keys, across), strict=True)
        figure.legend(
            handles, labels, loc="lower left", ncols=across, borderaxespad=0, handlelength=2.8,
            bbox_to_anchor=Bbox.from_bounds(margins.left / WIDTH, 0.05 / height, 0.5, 0.1),
            columnspacing=1.6, labelspacing=0.35, borderpad=0,
            handler_map={tuple: HandlerTuple(ndivide=None, pad=0.2)},
        )  # fmt: skip
    for ax in grid.ravel():
        ax.grid(color="black", alpha=0.09, linewidth=0.6)
    return figure, [list(row) for row in grid]


def line_keys(looks: Mapping[str, Look], names: Mapping[str, str], marked: bool) -> list[Key]:
    """Return the legend's keys of lines.

    Args:
        looks: By line.
        names: What the lines are called.
        marked: Whether they have markers.
    """
    return [
        (
            Line2D([], [], color=look.color, linestyle=look.linestyle, linewidth=LINE,
                   marker=look.marker if marked else "", markersize=MARKER, markeredgecolor="white",
                   markeredgewidth=0.4),
            names[line],
        )
        for line, look in looks.items()
    ]  # fmt: skip


def read_off(color: str) -> dict[str, Any]:
    """Return how points are drawn that were read off another's figure, for ``Axes.plot``."""
    return {
        "linestyle": "", "marker": "o", "markersize": 5, "markerfacecolor": "white",
        "markeredgewidth": 1.2, "markeredgecolor": color,
    }  # fmt: skip


def read_off_key(looks: Iterable[Look]) -> Key:
    """Return the legend's key of points that were read off another's figure.

    Args:
        looks: Of the lines that have such points, whose colours the points have.
    """
    colors = list(dict.fromkeys(look.color for look in looks))[:_POINTS]
    handles = tuple(Line2D([], [], **read_off(color)) for color in colors)
    return handles, "read off the paper’s figure"


def draw_intervals(
    ax: Axes,
    x: Sequence[float],
    found: Sequence[Estimate],
    scale: float,
    look: Look,
    aside: float,
) -> None:
    """Draw means with their 95 % intervals, joined by a line; those that are not defined break it.

    Single seeds stand in place of an interval where there are too few, see ``SPREAD``.

    Args:
        ax: Where.
        x: Places.
        found: At each.
        scale: What values are multiplied with.
        look: Of the line.
        aside: Points to the right, so that intervals at one place do not hide each other.
    """
    known = [(p, i.value, i) for p, i in zip(x, found, strict=True) if i.value is not None]
    if not known:
        return
    places, means = [p for p, _, _ in known], [scale * mean for _, mean, _ in known]
    ends = [
        (mean if i.low is None else i.low, mean if i.high is None else i.high)
        for _, mean, i in known
    ]
    alone = [(p, scale * seed) for p, _, i in known if i.low is None for seed in i.seeds]
    # A shifted artist does not count for the limits of the axes.
    ax.update_datalim([(p, scale * e) for p, pair in zip(places, ends, strict=True) for e in pair])
    ax.update_datalim(alone or [(places[0], means[0])])
    placed = ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans)
    arms = [[abs(scale * pair[i] - m) for pair, m in zip(ends, means, strict=True)] for i in (0, 1)]
    ax.errorbar(
        places, means, arms, color=look.color,
        linestyle=look.linestyle, marker=look.marker, markersize=MARKER, markeredgecolor="white",
        markeredgewidth=0.4, linewidth=LINE, elinewidth=1.0, capsize=0, transform=placed,
    )  # fmt: skip
    if alone:
        ax.plot(
            *zip(*alone, strict=True), ".", color=look.color, alpha=0.6, markersize=4.5,
            markeredgewidth=0, transform=placed,
        )  # fmt: skip
    ax.autoscale_view()


def _across(keys: Sequence[Key], width: float) -> int:
    """How many columns of a legend fit beside each other."""
    for columns in range(len(keys), 1, -1):
        longest = [max(len(text) for _, text in keys[place::columns]) for place in range(columns)]
        if sum(0.63 + 0.064 * length for length in longest) <= width:
            return columns
    return 1


def _by_row(keys: Sequence[Key], across: int) -> Iterable[Key]:
    """Order keys so that a legend, which fills its columns one by one, reads row by row."""
    return [key for column in range(across) for key in keys[column::across]]
