"""How figures look, and how they become part of a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import gcd
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike

from reports.runs.cells import FINETUNE, FREEZE, INDEPENDENT, JOINT, Variant

INK, PALE = "#333333", "#b8b8b8"

# References are grey, so that colour is left for what is compared.
_GREYS = {
    FINETUNE: ("#222222", (0, ()), "s"),
    FREEZE: ("#7a7a7a", (0, (4, 2)), "D"),
    INDEPENDENT: ("#555555", (0, (1, 1.5)), "^"),
    JOINT: ("#999999", (0, (5, 1.5, 1, 1.5)), "v"),
}
# The most different first; without grey (for references) and yellow (vanishes on white).
_ORDER = (0, 3, 2, 4, 1, 5, 9, 6)
_MARKERS = "oPXphd*8"
_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # measures the layout; the page sets its own, narrower font
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
}


@dataclass(frozen=True)
class Style:
    """How a variant is drawn in every figure of a report.

    Attributes:
        color: Its own: the strategy's, lighter for weak and darker for strong strengths.
        linestyle: Of its curves.
        marker: Of its points, the strategy's.
        base: The strategy's colour.
    """

    color: str
    linestyle: Any
    marker: str
    base: str

    @property
    def ink(self) -> str:
        """The strategy's colour, dark enough for text."""
        return str(to_hex(sns.blend_palette([self.base, "black"], 11)[4]))


def styles(variants: Sequence[Variant]) -> dict[Variant, Style]:
    """Give every strategy one colour and marker, and every strength of it one lightness.

    Args:
        variants: All of a report, each once, in their order.
    """
    safe = sns.color_palette("colorblind")
    palette = [safe[place] for place in _ORDER]
    colored = []
    found: dict[Variant, Style] = {}
    greys = dict(_GREYS)
    for _, group in groupby(variants, key=lambda variant: variant.strategy):
        members = list(group)
        kind = members[0].kind
        if kind in greys and len(members) == 1:
            grey, linestyle, marker = greys.pop(kind)
            found[members[0]] = Style(grey, linestyle, marker, base=grey)
        else:
            colored.append(members)
    if len(colored) > len(palette):
        palette = _apart(len(colored))
    for place, members in enumerate(colored):
        base, marker = to_hex(palette[place]), _MARKERS[place % len(_MARKERS)]
        for variant, color in zip(members, _ramp(base, len(members)), strict=True):
            found[variant] = Style(to_hex(color), "-", marker, base)
    return found


def wrapped(label: str, width: int = 30) -> str:
    """Break a label into lines that fit beside a figure, three at most.

    What is too long loses its middle: names that begin alike differ at their ends, and a
    strength stands there.
    """
    text, kept = fill(label, width), len(label)
    while text.count("\n") > 2:
        kept -= 1
        head, tail = label[: (kept + 1) // 2], label[(kept + 1) // 2 - kept :]
        # Whole words where they are short.
        head, tail = re.sub(r" \S{0,9}$", "", head), re.sub(r"^\S{0,9} ", "", tail)
        text = fill(f"{head} … {tail}", width)
    # Matplotlib leaves labels with a leading underscore out of legends.
    return f"\u200b{text}" if text.startswith("_") else text


def lines_of(labels: Iterable[str], width: int = 30) -> int:
    """Return how many lines the longest of some labels takes when it is wrapped, at least 1."""
    return max((wrapped(label, width).count("\n") + 1 for label in labels), default=1)


def layers(shapes: Sequence[ArrayLike]) -> list[int]:
    """Count for each of several shapes how many later ones are the same and would hide it.

    Drawn wider by its count, each stays visible below those that coincide with it.

    Args:
        shapes: What is drawn, in this order; numbers that agree to nine digits are the same.
    """
    seen: Counter[bytes] = Counter()
    found = []
    for shape in reversed(shapes):
        # The sum makes a positive zero of a negative one.
        key = (np.asarray(shape, dtype=float).round(9) + 0.0).tobytes()
        found.append(seen[key])
        seen[key] += 1
    return found[::-1]


def nested(shapes: Sequence[ArrayLike], width: float) -> list[float]:
    """Return widths of lines in points: ``width``, and more for what others lie on.

    Args:
        shapes: The lines, in the order in which they are drawn (see ``layers``).
        width: Of a line that nothing hides.
    """
    counts = layers(shapes)
    step = min(1.8, 4.5 / max([1, *counts]))
    return [width + step * count for count in counts]


@contextmanager
def figure_settings() -> Iterator[None]:
    """Draw in the report's style, and leave nothing of it behind."""
    settings: dict[Any, Any] = {**sns.axes_style("ticks"), **_SETTINGS}
    with mpl.rc_context(settings):
        yield


def _apart(n: int) -> list[Any]:
    """Many colours, of which neighbours in the list are far apart in hue."""
    hues = sns.husl_palette(n, l=0.55)
    step = next(step for step in range(round(0.38 * n), n) if gcd(step, n) == 1)
    return [hues[place * step % n] for place in range(n)]


def _ramp(color: str, n: int) -> list[Any]:
    """Shades of a colour from the weakest strength (light) to the strongest (dark)."""
    if n == 1:
        return [color]
    light = sns.blend_palette(["white", color], 11)[5]
    dark = sns.blend_palette([color, "black"], 11)[5]
    return list(sns.blend_palette([light, color, dark], n))
