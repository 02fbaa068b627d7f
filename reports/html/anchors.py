"""Names in links and files: the same for a scenario in every report, whatever else is in it."""

from __future__ import annotations

import re
from hashlib import sha256

ALL = "all"
"""Stands for all scenarios together."""

_LONGEST = 40


def anchor(scenario: str) -> str:
    """Return a scenario's name in letters, digits and hyphens: ``turned-digits``.

    A name that cannot be read back from it (with other characters, long, or ``all``) has part of
    its hash at the end, so that no two names have one anchor.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", scenario.lower()).strip("-")[:_LONGEST].strip("-")
    if plain and plain.replace("-", "_") == scenario and plain != ALL:
        return plain
    found = sha256(scenario.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{found}" if plain else f"scenario-{found}"
