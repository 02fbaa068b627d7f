"""Figures that a reader can touch: a script of the page draws them again, from their data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from palimpsest.reports.figures.drawing.plot import Plot


@dataclass(frozen=True, eq=False)
class LivePlot(Plot):
    """A figure that a script draws again, to be touched.

    On paper, and without scripts, there is the figure itself.

    Attributes:
        script: Which draws it: ``templates/plane.js`` or ``templates/curves.js``.
        live: What is drawn, as JSON.
        packed: The measured numbers, where there are so many that they stand in the page gzipped:
            as JSON, for the script and for the reader to save.
    """

    script: str
    live: Mapping[str, Any]
    packed: Mapping[str, Any] = field(default_factory=dict)


def dash(linestyle: Any) -> str:
    """Return a line's dashes in SVG's terms: lengths in pixels, nothing for a solid line.

    Args:
        linestyle: As Matplotlib has it, see ``Style``.
    """
    if linestyle == "-":
        return ""
    if linestyle == "--":
        return "6 3"
    _, lengths = linestyle
    return " ".join(f"{2 * length:g}" for length in lengths)
