"""The progress of an active job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_POINTS = 60
"""The number of points of each sent curve: enough for a small plot."""


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job.

    Attributes:
        fraction: The completed fraction of the job, from 0 to 1.
        curves: The curves of its first run so far, as ``Record.curves``. The curves of a run in
            this process grow further.
        message: A sentence for the user, or nothing; it can be repeated.
    """

    fraction: float
    curves: Sequence[dict[str, Any]] = ()
    message: str = ""

    def copied(self) -> JobProgress:
        """Return a copy for sending: only JSON, and curves with few points.

        The first and the last point of a curve are kept. Numbers that are not finite are ``None``.
        """
        return JobProgress(self.fraction, [_thinned(curve) for curve in self.curves], self.message)


def _thinned(curve: dict[str, Any]) -> dict[str, Any]:
    steps = list(curve["steps"])
    count = min([len(steps), *map(len, curve["accuracy"])])  # a point may be half measured
    stride = max(1, math.ceil((count - 1) / (_POINTS - 1)))
    kept = sorted({*range(0, count, stride), *([count - 1] if count else [])})
    return {
        "model": curve["model"],
        "steps": [steps[point] for point in kept],
        "accuracy": [[_number(line[point]) for point in kept] for line in curve["accuracy"]],
    }


def _number(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
