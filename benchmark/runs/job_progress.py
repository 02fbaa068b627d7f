"""How far a job is: what is handed over while it is under way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_POINTS = 60
"""Of each curve that is handed over: enough for a small picture."""


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    Attributes:
        fraction: Of it that is done, from 0 to 1.
        curves: What its first run has measured so far, as ``Record.curves``; those of a run in
            this process go on growing.
        message: A sentence for the user, or nothing; it may come again.
    """

    fraction: float
    curves: Sequence[dict[str, Any]] = ()
    message: str = ""

    def copied(self) -> JobProgress:
        """Return it as it is now, for sending: curves with few points, and nothing but JSON.

        The first and the last point of a curve stay; a number that is not finite is ``None``.
        """
        return JobProgress(self.fraction, [_thinned(curve) for curve in self.curves], self.message)


def _thinned(curve: dict[str, Any]) -> dict[str, Any]:
    steps = list(curve["steps"])
    count = min([len(steps), *map(len, curve["accuracy"])])  # a point may be half measured
    stride = max(1, math.ceil((count - 1) / (_POINTS - 1)))
    kept = sorted({*range(0, count, stride), *([count - 1] if count else [])})
    return {
        "model": curve["model"],
        "steps": [steps[place] for place in kept],
        "accuracy": [[_number(line[place]) for place in kept] for line in curve["accuracy"]],
    }


def _number(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
