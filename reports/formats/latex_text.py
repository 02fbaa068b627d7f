r"""Text in LaTeX: escaped for every engine, its width in print, and where lines may break."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby

FONT_SIZE = 8.0
"""Points: of a table."""

_GREEK = "αβγδεζηθικλμνξπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho varsigma "
    "sigma tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # a straight one needs another font encoding
    "[": "{[}",  # after a line break these two would be its arguments
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\N{MINUS SIGN}": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "²": "$^2$",
    "³": "$^3$",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
    "…": r"\ldots{}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{NO-BREAK SPACE}": "~",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
    "\N{ZERO WIDTH SPACE}": "",
    **dict.fromkeys("\t\n\r", " "),
    **{a: rf"$\{name}$" for a, name in zip(_GREEK, _GREEK_NAMES.split(), strict=True)},
}
_LATIN = set("ßæœøłÆŒØŁ¡¿")
_ACCENTS = set("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")
_ACCENTED = range(0xC0, 0x180)

ENGINE_ONLY = (
    r"\providecommand{\engineonly}[2]{"
    r"\ifdefined\directlua#1\else\ifdefined\XeTeXversion#1\else#2\fi\fi}"
)
"""Defines what ``escape`` writes for characters that pdfLaTeX lacks: there, their code points."""

# Of Computer Modern, in units of its size; Times and most other fonts are narrower.
_WIDTHS = {
    **dict.fromkeys("ijl.,:;!'`|[]", 0.3),
    **dict.fromkeys("ft()-rs", 0.42),
    " ": 0.354,
    **dict.fromkeys("cez", 0.473),
    **dict.fromkeys("ago0123456789$?*/–", 0.532),
    **dict.fromkeys("bdhknpquvxy_", 0.591),
    **dict.fromkeys("wABCDEFGHJKLNOPQRSTUVXYZI+−=<>±×→≥≤", 0.83),
    **dict.fromkeys("mM%&@W#", 1.1),
    "\N{NARROW NO-BREAK SPACE}": 0.18,
    "\N{ZERO WIDTH SPACE}": 0.0,
}
_OTHER = 0.9
_CODE = 4.5  # of the code point that pdfLaTeX writes for a character

_PIECE = 8  # letters that stay together in a word that must be broken


def escape(text: str) -> str:
    """Return text escaped for pdfLaTeX, LuaLaTeX and XeLaTeX alike."""
    parts = []
    for is_known, run in groupby(text, _known):
        own = "".join(run)
        if is_known:
            # Hyphens in a row would become a dash.
            pairs = zip(f" {own}", own, strict=False)
            parts += ["{}-" if a == b == "-" else _SPECIAL.get(b, b) for a, b in pairs]
        else:
            codes = " ".join(f"U+{ord(character):04X}" for character in own)
            shown = "".join(c for c in own if unicodedata.category(c)[0] != "C")
            parts.append(rf"\engineonly{{{shown}}}{{{{[}}{codes}]}}")
    return "".join(parts)


def unknown(text: str) -> list[str]:
    """Return the characters of a text that pdfLaTeX lacks, sorted, each once."""
    return sorted({c for c in text if not _known(c) and unicodedata.category(c)[0] != "C"})


def width(text: str) -> float:
    """Return how wide a text is in a table, in points, rounded up."""
    return FONT_SIZE * sum(
        _WIDTHS.get(c, _OTHER) if _known(c) else _CODE for c in unicodedata.normalize("NFC", text)
    )


def pieces(text: str) -> list[str]:
    """Break a word into pieces after which a line may end."""
    found = [""]
    for character in text:
        found[-1] += character
        if character in "_-/,=.:)]}" or len(found[-1]) >= _PIECE or not _known(character):
            found.append("")
    return list(filter(None, found))


def breakable(text: str, longest: float) -> str:
    r"""Return text escaped, with ``\allowbreak`` in words that are too wide for a line."""
    return " ".join(
        r"\allowbreak{}".join(map(escape, pieces(word))) if width(word) > longest else escape(word)
        for word in text.split(" ")
    )


def broken(text: str, longest: float) -> list[str]:
    """Return the words of a text, those that are too wide for a line in parts that are not."""
    parts = []
    for word in text.split():
        if width(word) <= longest:
            parts.append(word)
            continue
        own = [""]
        for piece in pieces(word):
            if own[-1] and width(own[-1] + piece) > longest:
                own.append("")
            own[-1] += piece
        parts += own
    return parts


def filled(words: Sequence[str], longest: float) -> list[str]:
    """Fill lines of a width with words; a word that is too wide has a line of its own."""
    lines: list[str] = []
    for word in words:
        if lines and width(f"{lines[-1]} {word}") <= longest:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _known(character: str) -> bool:
    """Whether pdfLaTeX prints it, in any font encoding."""
    if character in _SPECIAL or character in _LATIN or " " <= character <= "~":
        return True
    parts = unicodedata.normalize("NFD", character)
    return ord(character) in _ACCENTED and len(parts) == 2 and parts[1] in _ACCENTS
