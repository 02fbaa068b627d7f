"""The colour of a strategy: the same in every report and page, whatever else is in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import gcd
from typing import Any
from zlib import crc32

import seaborn as sns
from matplotlib.colors import to_hex

from palimpsest.reports.runs.cells import FINETUNE, FREEZE, INDEPENDENT, JOINT

# References are grey, so that colours are left for the strategies compared.
GREYS: Mapping[str, str] = {
    FINETUNE: "#222222",
    FREEZE: "#7a7a7a",
    INDEPENDENT: "#555555",
    JOINT: "#999999",
}

SHIPPED: Mapping[str, str] = {
    "wpl": "#0173b2",
    "wpl_schur": "#d55e00",
    "si": "#029e73",
    "l2": "#cc78bc",
    "ewc": "#56b4e9",
    "mas": "#de8f05",
    "rwalk": "#ca9161",
    "lwf": "#fbafe4",
}
"""The colours of shipped kinds: seaborn's colour-blind palette without grey and yellow."""

_FORMS = {
    ("wpl", "wpl_decoupled"),
    ("wpl", "wpl_gradient"),
    ("wpl_schur", "fixed"),
    ("wpl_schur", "follows"),
    ("wpl_schur", "follows_damped"),
}
"""Kinds and names of the published pages that have the colour of their kind."""

_CODES = (
    "789600 e12d5a 4b3ca5 872d1e 5a4b00 005a00 9696ff 96005a 2db44b 693c69 87965a "
    "e17887 961e96 0f5a3c ff5ab4 008796 f0785a d278f0 a5871e 8778b4 a51e00 0069d2 "
    "873c4b 964b00 4ba5ff 784b2d 5ab4a5 5a963c 3c4b87 965ab4 5a6900 b4695a b43c4b "
    "d23c78 8769e1 b4a500 872d78 ff5a5a 3c5a1e a54b78 c32d96 e1873c 00783c 96692d "
    "2d8700 00b4d2 008778 c31e2d"
)
_OTHERS = [f"#{code}" for code in _CODES.split()]
"""The colours of all other strategies. Each is as far as possible (CIELAB) from those before it,
the shipped ones and the greys."""

_HOMES = 16
"""Names are hashed to the first of ``_OTHERS``, which differ most."""


def identity(kind: str, strategy: str) -> str:
    """Return what decides a strategy's colour: its kind or, where it has one of its own, its name.

    What ``merge`` and ``group`` add to a name, ``wpl [a.db]`` or ``wpl (samples 10)``, does not
    count.

    Args:
        kind: What it is.
        strategy: What the suite calls it.
    """
    name = re.sub(r" [\[(].*", "", strategy, flags=re.DOTALL)
    if kind in GREYS or name == kind or (kind, name) in _FORMS:
        return kind
    return f"{kind}: {name}"


def colors(identities: Iterable[str]) -> dict[str, str]:
    """Return a colour for each identity, no two the same.

    Shipped kinds have fixed colours. Others have one by a hash of their name; where several have
    the same, the first in alphabetical order keeps it, and only the others get another.

    Args:
        identities: As ``identity`` returns them, all of a report or page.
    """
    fixed = {**SHIPPED, **GREYS}
    wanted = sorted(set(identities))
    found = {name: fixed[name] for name in wanted if name in fixed}
    homes: dict[int, str] = {}
    for name in wanted:
        if name not in fixed:
            homes.setdefault(crc32(name.encode()) % _HOMES, name)
    found |= {name: _OTHERS[home] for home, name in homes.items()}
    free = [color for place, color in enumerate(_OTHERS) if place not in homes]
    moved = [name for name in wanted if name not in found]
    free += many(max(0, len(moved) - len(free)))
    return found | dict(zip(moved, free, strict=False))


def many(n: int) -> list[str]:
    """Return many colours; neighbours in the list are far apart in hue."""
    hues: list[Any] = sns.husl_palette(n, l=0.55) if n else []
    step = next((step for step in range(round(0.38 * n), n) if gcd(step, n) == 1), 1)
    return [str(to_hex(hues[place * step % n])) for place in range(n)]
