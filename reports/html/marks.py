"""What the marks of all figures tell, as compact data for ``templates/marks.js``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palimpsest.reports.figures.drawing.marks import Mark
from palimpsest.reports.statistics.interval import Estimate

_DIGITS = 5  # of a number that is drawn as a dot: more cannot be seen


def marks_data(figures: Mapping[str, Sequence[Mark]]) -> dict[str, Any]:
    """Return the marks of figures, by the figures' names.

    Returns:
        ``texts``, every text once; ``figures``, a list per figure, with a list per mark: the
        places in ``texts`` of its strategies and of its lines, and, where it shows a number with
        seeds, that number: mean, the ends of its interval (``None`` without one), then the seeds.
    """
    texts: dict[str, int] = {}

    def places(lines: Sequence[str]) -> list[int]:
        return [texts.setdefault(line, len(texts)) for line in lines]

    found = {
        name: [[places(mark.strategies), places(mark.told), *_strip(mark.number)] for mark in marks]
        for name, marks in figures.items()
        if marks
    }
    return {"texts": list(texts), "figures": found}


def _strip(number: Estimate | None) -> list[list[float | None]]:
    if number is None or len(number.seeds) < 2:
        return []
    shown = (number.value, number.low, number.high, *number.seeds)
    return [[None if end is None else float(f"{end:.{_DIGITS}g}") for end in shown]]
