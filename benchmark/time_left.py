"""How long the runs that are left will take: the one estimate that every display shows."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmark.jobs import Job


class TimeLeft:
    """An estimate from how fast the runs have gone so far.

    ``(time so far) x (runs left) / (runs done)``, where a run under way counts by the fraction of
    it that is done. Runs that the store had before count in neither.

    Args:
        runs: How many are to be done.
        clock: Returns seconds; for tests.
    """

    def __init__(self, runs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs = runs
        self._clock = clock
        self._start = clock()
        self._ended = 0
        self._under_way: dict[str, float] = {}

    def advanced(self, job: Job, fraction: float) -> None:
        """Note how far a job is."""
        self._under_way[job[0].key] = fraction * len(job)

    def ended(self, key: str) -> None:
        """Note that a run has ended."""
        self._ended += 1
        self._under_way.pop(key, None)

    @property
    def seconds(self) -> float | None:
        """The estimate; ``None`` as long as there is nothing to estimate from."""
        done = min(float(self._runs), self._ended + sum(self._under_way.values()))
        if done <= 0:
            return None
        return (self._clock() - self._start) * (self._runs - done) / done
