"""Figures as PNG and PDF, in a font that has the characters of their names."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager

from palimpsest.benchmark.errors import Remark
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import figure_settings

DPI = 200
"""Of PNG files: sharp in print at the figures' original size."""

_GLYPH = re.compile(r"Glyph (\d+) \(.*\) missing from ")  # Matplotlib's warning
_PLACEHOLDERS = re.compile("Last ?Resort|Tofu", re.IGNORECASE)  # fonts of boxes


class MissingGlyphs(Remark):
    """Characters that no installed font has, and that are boxes in PNG and PDF files."""

    def __init__(self, characters: str) -> None:
        self.characters = characters
        super().__init__(
            f"PNG and PDF figures show boxes for {characters}, which no installed font has; "
            "install one that does, such as Noto Sans, or write SVG"
        )


def pdf(plot: Plot) -> bytes:
    """Draw a plot with embedded TrueType fonts (publishers refuse Type 3), and without the date."""
    metadata: dict[str, Any] = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    with mpl.rc_context({"pdf.fonttype": 42}):
        return _saved(plot, format="pdf", metadata={**metadata, "Title": plot.title})


def png(plot: Plot) -> bytes:
    """Draw a plot on white."""
    return _saved(plot, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})


@contextmanager
def warned_once() -> Iterator[None]:
    """Make one warning of all ``MissingGlyphs``; other warnings come when it ends."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = set[str]()
    for each in caught:
        if isinstance(each.message, MissingGlyphs):
            missing.update(each.message.characters)
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if missing:
        warnings.warn(MissingGlyphs("".join(sorted(missing))), stacklevel=3)


def _saved(plot: Plot, **options: Any) -> bytes:
    """Save a figure, again with other fonts where its own lacks characters.

    Matplotlib says only while it draws what is lacking.
    """
    content, missing = _drawn(plot, (), options)
    if missing and (others := _fonts(missing, truetype=options["format"] == "pdf")):
        content, missing = _drawn(plot, others, options)
    if missing:
        warnings.warn(MissingGlyphs("".join(sorted(missing))), stacklevel=3)
    return content


def _drawn(
    plot: Plot, fonts: tuple[str, ...], options: dict[str, Any]
) -> tuple[bytes, frozenset[str]]:
    buffer, missing = BytesIO(), set[str]()
    with figure_settings(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], *fonts]
        plot.draw().savefig(buffer, **options)
    for each in caught:
        if found := _GLYPH.match(str(each.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return buffer.getvalue(), frozenset(missing)


@cache
def _fonts(characters: frozenset[str], truetype: bool) -> tuple[str, ...]:
    """Return installed fonts that have characters, as few as are found one after another."""
    _find_new_fonts()
    left = {ord(character) for character in characters}
    known: dict[str, frozenset[int]] = {}
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        upright = font.style == "normal" and font.weight in {400, "normal", "regular", "book"}
        if upright and font.name not in known and not _PLACEHOLDERS.search(font.name):
            known[font.name] = frozenset(_has(font.fname, truetype) & left)
    chosen = []
    while left and known:
        best = max(known, key=lambda name: len(known[name] & left))
        if not known[best] & left:
            break
        chosen.append(best)
        left -= known[best]
    return tuple(chosen)


def _find_new_fonts() -> None:
    """Add those that were installed since Matplotlib made its list, which it keeps in a file."""
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - listed):
        with suppress(OSError, RuntimeError, ValueError):
            font_manager.fontManager.addfont(path)


def _has(path: str, truetype: bool) -> set[int]:
    """The characters of a font; none where it is of no use."""
    try:
        # A font file lists its tables at its beginning, a collection those of each font.
        if truetype and b"glyf" not in Path(path).read_bytes()[:4096]:
            return set()
        return set(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return set()
