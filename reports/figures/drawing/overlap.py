"""Shapes at the same place stay visible: the lower ones are drawn wider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike


def layers(shapes: Sequence[ArrayLike]) -> list[int]:
    """Count for each shape the later ones that are the same and would hide it.

    Drawn wider by its count, a shape stays visible below those that coincide with it. Numbers that
    agree to nine digits are the same.
    """
    seen: Counter[bytes] = Counter()
    found = []
    for shape in reversed(shapes):
        # Adding 0.0 turns a negative zero into a positive one.
        key = (np.asarray(shape, dtype=float).round(9) + 0.0).tobytes()
        found.append(seen[key])
        seen[key] += 1
    return found[::-1]


def nested(shapes: Sequence[ArrayLike], width: float) -> list[float]:
    """Return widths of lines in points, in drawing order: wider where others cover a line."""
    counts = layers(shapes)
    step = min(1.8, 4.5 / max([1, *counts]))
    return [width + step * count for count in counts]


_NEAR = 3.0  # points: markers this close hide each other, and are drawn inside one another

_LARGER = 4.0  # points: by how much the outer one is larger

_FULL = {"*": 1.5, "d": 1.25}
"""Factors for markers that fill less of their size."""


def keep_visible(ax: Axes, marks: Sequence[Line2D], size: float) -> list[float]:
    """Enlarge markers that later ones would hide, and return the diameters in points.

    Args:
        ax: With its final limits and position.
        marks: One point each, in the order in which they are drawn.
        size: Points, the diameter of a marker that is not hidden.
    """
    if not marks:
        return []
    places = np.array([mark.get_xydata() for mark in marks], dtype=float)[:, 0]
    spots = np.asarray(ax.transData.transform(places)) * 72 / ax.figure.dpi
    close = np.hypot(*(spots[:, None] - spots[None]).T) < _NEAR
    hidden = np.tril(close, -1).sum(axis=0)
    full = np.array([_FULL.get(str(mark.get_marker()), 1.0) for mark in marks])
    sizes = full * (size + min(_LARGER, 9.0 / max(1, hidden.max())) * hidden)
    for mark, diameter in zip(marks, sizes, strict=True):
        mark.set_markersize(diameter)
    return [float(diameter) for diameter in sizes]
