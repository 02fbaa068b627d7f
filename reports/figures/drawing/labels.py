"""Labels in figures: broken into lines, and placed beside points where they hide least."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont, get_font
from numpy.typing import NDArray

_Array = NDArray[np.float64]

_LETTER, _HEIGHT = 5.4, 9.0  # points: width of a letter and height of a line at size 8
_GAPS = (3.0, 7.0, 13.0, 20.0, 28.0, 38.0, 50.0, 64.0)  # points from a marker to its label
_FAR = 10.0  # points; from this distance on a line connects the label with its marker
_STEP = 3.0  # points between the spots of a line that a label may hide

_WIDEST, _FEWEST = 0.63, 6  # the width of a letter that callers count with; letters of a line

# The cost of a position, in points of distance.
_OUTSIDE, _ON_LABEL, _ON_MARKER, _ON_LINE, _NEARER = 1e4, 200.0, 60.0, 3.0, 25.0


@dataclass(frozen=True)
class Label:
    """The label of a point at ``x`` and ``y``, in units of the axes."""

    text: str
    x: float
    y: float
    color: str


@cache
def wrapped(label: str, width: int = 30) -> str:
    """Break a label into at most three lines that fit beside a figure.

    A label that is too long loses its middle: names that begin alike differ at their ends, and
    that is where a strength is. ``width`` is the number of letters in a line, fewer where they are
    wide, such as M or Chinese ones.
    """
    text, letters = _filled(label, width), width
    while letters > _FEWEST and max(map(ems, text.split("\n"))) > width * _WIDEST:
        letters -= 1
        text = _filled(label, letters)
    # Matplotlib leaves labels with a leading underscore out of legends.
    return f"\u200b{text}" if text.startswith("_") else text


def ems(text: str) -> float:
    """Return how wide a line is in the font of the figures, in units of its size."""
    return sum(map(_advance, text))


@cache
def _advance(character: str) -> float:
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.0
    font = get_font(findfont("DejaVu Sans"))
    if not font.get_char_index(ord(character)):  # drawn in another font, or as a box
        return 1.0
    font.set_size(100, 72)
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536 / 100


def _filled(label: str, width: int) -> str:
    text, kept = fill(label, width), min(len(label), 4 * width)  # more never fits
    while text.count("\n") > 2:
        kept -= 1
        head, tail = label[: (kept + 1) // 2], label[(kept + 1) // 2 - kept :]
        # Cut at whole words where these are short.
        head, tail = re.sub(r" \S{0,9}$", "", head), re.sub(r"^\S{0,9} ", "", tail)
        text = fill(f"{head} … {tail}", width)
    return text


def lines_of(labels: Iterable[str], width: int = 30) -> int:
    """Return the largest number of lines of some labels when they are wrapped, at least 1."""
    return max((wrapped(label, width).count("\n") + 1 for label in labels), default=1)


def write_labels(
    ax: Axes,
    labels: Sequence[Label],
    markers: Sequence[tuple[float, float, float]],
    lines: Sequence[Sequence[tuple[float, float]]],
) -> None:
    """Write labels near their points, one after another: inside the axes and covering little.

    Args:
        ax: With its final limits and position.
        labels: What to write.
        markers: What labels should not hide: x, y and diameter in points.
        lines: Lines that labels should avoid, each a list of points.
    """
    if not labels:
        return
    scale = 72 / ax.figure.dpi

    def spots(points: Any) -> _Array:
        return np.asarray(ax.transData.transform(np.asarray(points, dtype=float)) * scale)

    centres = spots([marker[:2] for marker in markers])
    half = np.array([[marker[2] / 2] * 2 for marker in markers])
    blocks = np.hstack([centres - half, centres + half])
    ways = [_along(spots(line)) for line in lines if len(line) > 1]
    way = np.concatenate(ways) if ways else np.empty((0, 2))
    frame = np.asarray(ax.bbox.extents) * scale
    taken = np.empty((0, 4))
    for label, spot in zip(labels, spots([(one.x, one.y) for one in labels]), strict=True):
        size = np.array([_LETTER * len(label.text), _HEIGHT])
        at, gap = _candidates(size)
        boxes = np.hstack([spot + at - size / 2, spot + at + size / 2])
        outside = (boxes[:, :2] < frame[:2]) | (boxes[:, 2:] > frame[2:])
        cost = (
            gap
            + _OUTSIDE * outside.any(axis=1)
            + _ON_LABEL * _overlaps(boxes, taken)
            + _ON_MARKER * _overlaps(boxes, blocks)
            + _ON_LINE * _overlaps(boxes, np.hstack([way, way]))
            + _NEARER * _astray(boxes, spot, centres)
        )
        best = int(cost.argmin())
        taken = np.vstack([taken, boxes[best]])
        leader = {"arrowstyle": "-", "color": label.color, "linewidth": 0.5, "shrinkA": 1,
                  "shrinkB": 3, "alpha": 0.7}  # fmt: skip
        ax.annotate(
            label.text, (label.x, label.y), xytext=tuple(at[best]), textcoords="offset points",
            ha="center", va="center", color=label.color, fontsize=8, zorder=4,
            arrowprops=leader if gap[best] > _FAR else None,
        )  # fmt: skip


def _candidates(size: _Array) -> tuple[_Array, _Array]:
    """Positions of the middle of a label of some size, and their distances from the point."""
    angles = np.deg2rad([45, 135, -45, -135, 90, -90, 0, 180, 20, 160, -20, -160, 70, 110, -70])
    turns = np.column_stack([np.cos(angles), np.sin(angles)])
    gaps = np.repeat(_GAPS, len(turns))
    # A label is wider than high: its middle is off by half its own size.
    reach = np.tile(np.clip(1.5 * turns, -1, 1), (len(_GAPS), 1)) * size / 2
    found = reach + np.tile(turns, (len(_GAPS), 1)) * (gaps[:, None] + 2)
    return found, gaps


def _along(line: _Array) -> _Array:
    """Spots along a polyline."""
    parts = []
    for start, end in pairwise(line):
        count = max(2, int(np.hypot(*(end - start)) / _STEP))
        parts.append(start + np.linspace(0, 1, count)[:, None] * (end - start))
    return np.concatenate(parts)


def _astray(boxes: _Array, own: _Array, centres: _Array) -> _Array:
    """Whether a label is nearer to another marker than to its own."""
    others = centres[np.hypot(*(centres - own).T) > 3]
    if not len(others):
        return np.zeros(len(boxes))

    def away(points: _Array) -> _Array:
        low, high = boxes[:, None, :2] - points[None], points[None] - boxes[:, None, 2:]
        return np.asarray(np.hypot(*np.maximum(0, np.maximum(low, high)).transpose(2, 0, 1)))

    return np.asarray(away(others).min(axis=1) < away(own[None])[:, 0], dtype=float)


def _overlaps(boxes: _Array, others: _Array) -> _Array:
    """How many of the others each box overlaps; both (n, 4): left, bottom, right, top."""
    apart = (
        (boxes[:, None, 2] <= others[None, :, 0])
        | (boxes[:, None, 0] >= others[None, :, 2])
        | (boxes[:, None, 3] <= others[None, :, 1])
        | (boxes[:, None, 1] >= others[None, :, 3])
    )
    return np.asarray((~apart).sum(axis=1), dtype=float)
