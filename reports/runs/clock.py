"""How long a suite took, from when its runs began and how long each took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from palimpsest.benchmark.store.store import Record

RESOLUTION = 1.0
"""Seconds: stores keep start times in whole seconds, so a run may have begun up to this later."""

_PAUSE = 2.0  # seconds without a run that count at most: rounding, the start of a worker


def elapsed(records: Sequence[Record]) -> float:
    """Return the seconds during which at least one run was active.

    The length of the union of the intervals from ``started`` to ``started + seconds``. Time in
    which nothing ran does not count, so a suite may be interrupted and resumed.
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
    """Return the largest number of runs that were active at the same time.

    Runs that follow each other within the resolution of ``started`` do not count as overlapping.
    """
    known = [(start + RESOLUTION, stop) for start, stop in _spans(records)]
    sure = [(start, stop) for start, stop in known if start < stop]
    # At equal times, ends come before starts.
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
