"""The colour of a strategy: the same in every report and page, whatever else is in it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from math import gcd
from typing import Any, NamedTuple
from zlib import crc32

import seaborn as sns
from matplotlib.colors import to_hex

from palimpsest.benchmark.runs.record import Facts

_PALETTE_CODES = "0173b2 d55e00 029e73 cc78bc 56b4e9 de8f05 ca9161 fbafe4"
PALETTE = [f"#{code}" for code in _PALETTE_CODES.split()]
"""Seaborn's colour-blind palette without grey, which references have, and yellow."""

_CODES = (
    "789600 e12d5a 4b3ca5 872d1e 5a4b00 005a00 9696ff 96005a 2db44b 693c69 87965a "
    "e17887 961e96 0f5a3c ff5ab4 008796 f0785a d278f0 a5871e 8778b4 a51e00 0069d2 "
    "873c4b 964b00 4ba5ff 784b2d 5ab4a5 5a963c 3c4b87 965ab4 5a6900 b4695a b43c4b "
    "d23c78 8769e1 b4a500 872d78 ff5a5a 3c5a1e a54b78 c32d96 e1873c 00783c 96692d "
    "2d8700 00b4d2 008778 c31e2d"
)
_OTHERS = [f"#{code}" for code in _CODES.split()]
"""The colours of all other strategies. Each is as far as possible (CIELAB) from those before it,
the palette and the greys."""

_HOMES = 16
"""Names are hashed to the first of ``_OTHERS``, which differ most."""


class Identity(NamedTuple):
    """What decides a strategy's colour.

    Attributes:
        name: The strategy's kind or, where the suite renames it, kind and name.
        color: The fixed colour of its facts, ``#rrggbb``; ``None``: one by a hash of the name.
    """

    name: str
    color: str | None = None


def identity(facts: Facts, strategy: str, alike: Container[str] = ()) -> Identity:
    """Return what decides a strategy's colour: its kind or, if it has one, its own name.

    What ``merge`` and ``group`` append to a name (``wpl [a.db]``, ``wpl (samples 10)``) does not
    count. Strategies whose names are in ``alike`` keep the colour of their kind.
    """
    name = re.sub(r" [\[(].*", "", strategy, flags=re.DOTALL)
    if facts.is_reference or name == facts.name or name in alike:
        return Identity(facts.name, facts.color)
    return Identity(f"{facts.name}: {name}")


def colors(identities: Iterable[Identity]) -> dict[Identity, str]:
    """Return a colour for each identity of a report or page, no two the same.

    If several want the same colour, the first in alphabetical order gets it.
    """
    wanted = sorted(set(identities), key=lambda each: each.name)
    fixed: dict[str, Identity] = {}
    for each in wanted:
        if each.color is not None:
            fixed.setdefault(each.color, each)
    found = {each: color for color, each in fixed.items()}
    homes: dict[int, Identity] = {}
    for each in wanted:
        if each not in found:
            homes.setdefault(crc32(each.name.encode()) % _HOMES, each)
    found |= {each: _OTHERS[home] for home, each in homes.items()}
    free = [color for place, color in enumerate(_OTHERS) if place not in homes]
    moved = [each for each in wanted if each not in found]
    free += many(max(0, len(moved) - len(free)))
    return found | dict(zip(moved, free, strict=False))


def many(n: int) -> list[str]:
    """Return many colours; neighbours in the list are far apart in hue."""
    hues: list[Any] = sns.husl_palette(n, l=0.55) if n else []
    step = next((step for step in range(round(0.38 * n), n) if gcd(step, n) == 1), 1)
    return [str(to_hex(hues[place * step % n])) for place in range(n)]
