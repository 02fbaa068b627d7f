"""How long a suite took, told from when its runs began and how long each lasted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from benchmark.store import Record

RESOLUTION = 1.0
"""Seconds: stores keep the second in which a run began, so that it may have begun later."""

_PAUSE = 2.0  # seconds without a run, at most, that belong to the work: rounding, a worker's start


def elapsed(records: Sequence[Record]) -> float:
    """Return the seconds in which at least one run was going on.

    The length of the union of the intervals from ``started`` to ``started + seconds``. Times in
    which nothing ran do not count, so that a suite may be interrupted and gone on with.
    """
    total, end = 0.0, float("-inf")
    for start, stop in sorted(_spans(records)):
        if start - end > _PAUSE:
            total += stop - start
        else:
            total += max(0.0, stop - end)
        end = max(end, stop)
    return total


def most_at_once(records: Sequence[Record]) -> int:
    """Return how many runs were going on at the same time, at most.

    Runs that follow each other within the resolution of ``started`` do not count as two.
    """
    known = [(start + RESOLUTION, stop) for start, stop in _spans(records)]
    sure = [(start, stop) for start, stop in known if start < stop]
    # At one time, ends come before starts.
    events = sorted([(start, 1) for start, _ in sure] + [(stop, -1) for _, stop in sure])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return max(most, 1 if records else 0)


def _spans(records: Sequence[Record]) -> Iterator[tuple[float, float]]:
    for record in records:
        start = datetime.fromisoformat(record.started).timestamp()
        yield start, start + record.seconds
