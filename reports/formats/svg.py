"""Figures as SVG: an element of the report, a file, and a compact file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from hashlib import sha256
from io import StringIO
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

import matplotlib as mpl
from matplotlib.figure import Figure

from palimpsest.reports.figures.drawing.marks import NAME, Mark, noted
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import figure_settings

_FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
"""A file has no page around it that sets the font, so name some that are common."""

_PAPER = '<rect width="100%" height="100%" fill="#ffffff"/>'
_NOTED = re.compile(rf'<g id="[^"]*-{NAME}(\d+)">')
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")

START = re.compile(rb'<\?xml version="1.0" encoding="UTF-8"\?>\n<svg role="img" aria-label=')
"""How a file of ours begins; those of other programs begin differently."""


def svg_element(plot: Plot) -> str:
    """Draw a plot as an ``<svg>`` element."""
    with figure_settings():
        svg = to_svg(plot.draw(), plot.name, plot.description)
    return _NOTED.sub("<g>", svg)


def touchable_svg(plot: Plot) -> tuple[str, list[Mark]]:
    """Draw a plot as a compact ``<svg>`` element for the report, with the notes of its marks.

    Returns:
        The element and the marks; what shows one of them has its place in them as ``data-mark``.
    """
    with figure_settings():
        figure = plot.draw()
        svg = to_svg(figure, plot.name, plot.description)
    start, *noted_parts = _NOTED.split(svg)
    groups, places = noted(figure), dict[Mark, int]()
    written = [start]
    for number, part in zip(noted_parts[::2], noted_parts[1::2], strict=True):
        written.append(_touchable(part, groups[int(number)], places))
    return _lean(compact("".join(written)), plot.name), list(places)


def _touchable(part: str, marks: Sequence[Mark], places: dict[Mark, int]) -> str:
    """Mark a group, or each of its points or parts; ``part`` begins inside of it."""
    if len(marks) == 1:
        return f'<g data-mark="{places.setdefault(marks[0], len(places))}">{part}'
    end = _end(part)
    inside = part[:end]
    opening, *shapes = re.split(r"(?=<use\b)" if "<use" in inside else r"(?=<path\b)", inside)
    if len(shapes) != len(marks):  # what is not finite is not drawn: which is which is not known
        return f"<g>{part}"
    named = (
        re.sub(r"^<\w+", rf'\g<0> data-mark="{places.setdefault(mark, len(places))}"', shape)
        for mark, shape in zip(marks, shapes, strict=True)
    )
    return f"<g>{opening}{''.join(named)}{part[end:]}"


def _end(part: str) -> int:
    """Where the group ends in which ``part`` begins."""
    depth = 1
    for tag in re.finditer(r"<(/?)g\b", part):
        depth += -1 if tag[1] else 1
        if not depth:
            return tag.start()
    return len(part)


def svg_file(plot: Plot) -> bytes:
    """Draw a plot as a file, the same as in the report."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg_element(plot)}\n'.encode()


def small_svg(plot: Plot) -> bytes:
    """Draw a plot as an SVG file, compact; the same plot gives the same bytes."""
    text = compact(svg_file(plot).decode().replace("'DejaVu Sans'", _FONTS))
    # A page may be shown on black, and the ink of the figures is dark.
    return text.replace("</title>", f"</title>{_PAPER}", 1).encode()


def compact(svg: str) -> str:
    """Return the same picture in fewer letters.

    Most of Matplotlib's text is names of groups, indentation and invisible digits: here lines are
    rounded to a tenth of a point, and each point is relative to the one before it.
    """
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # nothing refers to groups
    svg = re.sub(r"\n +", "\n", svg)
    return re.sub(r'\bd="(M [^M"]*)"', _relative, svg)


def _lean(svg: str, name: str) -> str:
    """Return the same picture in fewer letters still: a sixth of a report’s figures was these.

    Long identifiers become short, turns by nothing go, and places are rounded to hundredths.
    """
    short, known = f"s{sha256(name.encode()).hexdigest()[:8]}", dict[str, str]()

    def renamed(found: re.Match[str]) -> str:
        return found[1] + known.setdefault(found[2], f"{short}-{len(known)}")

    svg = re.sub(rf'(\bid="|xlink:href="#|url\(#)({re.escape(name)}-\w+)', renamed, svg)
    svg = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", svg)
    return re.sub(r'\b([xy]="-?\d+\.\d\d)\d+"', r'\1"', svg)


def _relative(path: re.Match[str]) -> str:
    """Write a path of straight lines with relative coordinates; leave other paths as they are."""
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


def to_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element that can share a document with others.

    The same figure gives the same text, and no identifier occurs in two figures.

    Args:
        figure: What to draw.
        name: Unique in the document, made of letters, digits and hyphens.
        description: What it shows, for readers who cannot see it.
    """
    buffer = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Text stays text: it is the reader's font that must have the characters.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<[^>]*?\sid=")', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(xlink:href="|url\()#', rf"\g<1>#{name}-", svg)
    svg = re.sub(r'\bd="[^"<]*"', _rounded, svg)
    label = f'<svg role="img" aria-label={quoteattr(description)}'
    svg = svg.replace("<svg", label, 1)
    return svg.replace(">", f"><title>{escape(description)}</title>", 1)


def _rounded(path: re.Match[str]) -> str:
    """Round to a hundredth of a point: six decimals would double the size of the report."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path.group())
