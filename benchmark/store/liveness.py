"""Which processes that carry out suites are still at work. Importing this needs no torch."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from palimpsest.benchmark.store.active_runs import STALE, SuiteProcess


class Liveness:
    """Sees by their heartbeats which processes live.

    Clocks need not agree and may jump: what counts is whether a heartbeat changes, within
    ``STALE`` seconds of the clock here.

    Args:
        clock: Returns seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float | None, float]] = {}

    def lives(self, name: str, process: SuiteProcess | None, still: float = 0.0) -> bool:
        """Return whether a process is still at work.

        Args:
            name: Its id.
            process: What the store knows about it now, if anything.
            still: For how many seconds its heartbeat has stood still when it is first seen here.
        """
        if process and (process.ended is not None or _is_gone(process.host, process.pid)):
            return False
        beat, now = (process.heartbeat if process else None), self._clock()
        last, since = self._seen.get(name, (beat, now - still))
        if beat != last:
            since = now
        self._seen[name] = beat, since
        return now - since < STALE


def _is_gone(host: str, number: int) -> bool:
    """Whether a process of this machine has ended."""
    if host != socket.gethostname():
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    return False
