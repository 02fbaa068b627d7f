"""The sheet of a figure: its size, its panels and the legend below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from palimpsest.reports.figures.drawing.labels import ems, lines_of, wrapped
from palimpsest.reports.figures.drawing.style import Style

WIDTH = 800 / 96
"""Inches: 800 pixels in a browser, the width of a page of Markdown."""

WIDE = 1000 / 96
"""Inches: the width of the widest figures of a report."""

BAND = 0.15
"""How opaque the band of a 95 % interval is."""

LEAST_SPAN = 4.0
"""Percentage points: the smallest range of an axis, so that noise does not look like an effect."""

MARKER, LINE = 6.0, 1.6
"""Points: the size of a marker, the width of a line."""

_POINTS = 4  # the most points side by side in a legend's key

# Inches: of a letter and a line of a title.
_LETTER, _LINE = 0.075, 0.15

_KEY_LETTER, _KEY_SIZE = 0.064, 8.5  # inches, points

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


def titled(
    titles: Sequence[str], columns: int, margins: Margins, width: float = WIDTH
) -> tuple[Sequence[str], Margins]:
    """Break the titles of panels into lines that fit above them.

    Returns:
        The titles, and margins with space for them above every row.
    """
    room = width - margins.left - margins.right - (columns - 1) * margins.across
    letters = int(room / columns / _LETTER)
    more = _LINE * (lines_of(titles, letters) - 1)
    higher = replace(margins, top=margins.top + more, down=margins.down + more)
    return [wrapped(title, letters) for title in titles], higher


def canvas(
    heights: Sequence[float],
    columns: int,
    keys: Sequence[Key] = (),
    margins: Margins = Margins(),
    *,
    width: float = WIDTH,
    **options: Any,
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a grid of panels, its legend below them.

    Positions are computed here, since a layout engine would draw everything twice.

    Args:
        heights: Inches, the height of each row of panels.
        columns: The number of panels in a row.
        keys: The entries of the legend.
        margins: Space around and between panels.
        width: Inches, of the figure.
        options: For ``Figure.subplots``, such as ``width_ratios``.
    """
    room = width - margins.left - margins.right
    across = _across(keys, room)
    legend = _legend_height(keys, across)
    inner = sum(heights) + (len(heights) - 1) * margins.down
    height = margins.top + inner + margins.bottom + legend
    figure = Figure(figsize=(width, height))
    panel = (room - (columns - 1) * margins.across) / columns
    grid = figure.subplots(
        len(heights),
        columns,
        squeeze=False,
        height_ratios=heights,
        gridspec_kw={
            "left": margins.left / width,
            "right": 1 - margins.right / width,
            "bottom": (margins.bottom + legend) / height,
            "top": 1 - margins.top / height,
            "wspace": margins.across / panel,
            "hspace": margins.down * len(heights) / sum(heights),
        },
        **options,
    )
    if keys:
        handles, labels = zip(*_by_row(keys, across), strict=True)
        figure.legend(
            handles, labels, loc="lower left", ncols=across, borderaxespad=0, handlelength=2.8,
            bbox_to_anchor=Bbox.from_bounds(margins.left / width, 0.05 / height, 0.5, 0.1),
            columnspacing=1.6, labelspacing=0.35, borderpad=0,
            handler_map={tuple: HandlerTuple(ndivide=None, pad=0.2)},
        )  # fmt: skip
    for ax in grid.ravel():
        ax.grid(color="black", alpha=0.09, linewidth=0.6)
    return figure, [list(row) for row in grid]


def line_keys(
    styles: Mapping[str, Style], names: Mapping[str, str] | None = None, *, marked: bool
) -> list[Key]:
    """Return the legend's keys of lines, with other ``names`` and with markers if asked for."""
    return [
        (
            Line2D([], [], color=style.color, linestyle=style.linestyle, linewidth=LINE,
                   marker=style.marker if marked else "", markersize=MARKER,
                   markeredgecolor="white", markeredgewidth=0.4),
            line if names is None else names[line],
        )
        for line, style in styles.items()
    ]  # fmt: skip


def read_off(color: str) -> dict[str, Any]:
    """Return the style of points that were read off a published figure, for ``Axes.plot``."""
    return {
        "linestyle": "", "marker": "o", "markersize": 5, "markerfacecolor": "white",
        "markeredgewidth": 1.2, "markeredgecolor": color,
    }  # fmt: skip


def read_off_key(styles: Iterable[Style]) -> Key:
    """Return the legend's key of points that were read off a published figure.

    The points have the colours of their lines.
    """
    colors = list(dict.fromkeys(style.color for style in styles))[:_POINTS]
    handles = tuple(Line2D([], [], **read_off(color)) for color in colors)
    return handles, "read off the paper’s figure"


def _legend_height(keys: Sequence[Key], across: int) -> float:
    """In inches; the height of a row is that of its longest label."""
    rows = [keys[start : start + across] for start in range(0, len(keys), across)]
    lines = [max(text.count("\n") + 1 for _, text in row) for row in rows]
    return 0.08 + sum(0.05 + _LINE * count for count in lines) if lines else 0.0


def _across(keys: Sequence[Key], width: float) -> int:
    """How many columns of a legend fit side by side."""
    for columns in range(len(keys), 1, -1):
        longest = [
            max(_key_width(line) for _, text in keys[place::columns] for line in text.split("\n"))
            for place in range(columns)
        ]
        if sum(longest) <= width:
            return columns
    return 1


def _key_width(line: str) -> float:
    """Of a legend's key with its label, in inches."""
    return 0.63 + max(_KEY_LETTER * len(line), ems(line) * _KEY_SIZE / 72)


def _by_row(keys: Sequence[Key], across: int) -> Iterable[Key]:
    """Order keys so that a legend, which fills its columns one by one, reads row by row."""
    return [key for column in range(across) for key in keys[column::across]]
