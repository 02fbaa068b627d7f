"""A figure as a small file that stands alone."""

from __future__ import annotations

import re
from itertools import pairwise

from reports.export import FIGURES
from reports.plot import Plot

_FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
"""A file has no page around it that sets its font: name some that are everywhere."""

_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")


def small_svg(plot: Plot) -> bytes:
    """Draw a plot as an SVG file; the same plot gives the same bytes.

    Matplotlib spends most of a file on names of groups, on indentation and on digits that nobody
    sees: lines are kept to a tenth of a point, each point relative to the one before it.
    """
    text = FIGURES["svg"](plot).decode().replace("'DejaVu Sans'", _FONTS)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # nothing refers to groups
    text = re.sub(r"\n +", "\n", text)
    return re.sub(r'\bd="(M [^M"]*)"', _relative, text).encode()


def _relative(path: re.Match[str]) -> str:
    """Write a path of straight lines relatively, and leave others as they are."""
    commands = path[1].split()
    if set(re.findall("[A-Za-z]", path[1])) - {"M", "L", "z"}:
        return path.group()
    tenths = [round(10 * float(number)) for number in _NUMBERS.findall(path[1])]
    points = list(zip(tenths[::2], tenths[1::2], strict=True))
    text = f"M{_tenth(points[0][0])} {_tenth(points[0][1])}"
    if len(points) > 1:
        moves = (f"{_tenth(x - a)} {_tenth(y - b)}" for (a, b), (x, y) in pairwise(points))
        text += f"l{' '.join(moves)}"
    return f'd="{text}{"z" if commands[-1] == "z" else ""}"'


def _tenth(tenths: int) -> str:
    return f"{tenths / 10:g}"
