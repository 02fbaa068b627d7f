"""Finds out which processes are still alive. Importing this needs no torch."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from palimpsest.benchmark.store.active_runs import STALE, SuiteProcess


class Liveness:
    """Finds out by their heartbeats which processes are alive.

    A heartbeat has to change within ``STALE`` seconds of this process's clock. So clocks of
    machines may differ, and may jump.

    Args:
        clock: Returns seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float | None, float]] = {}

    def lives(self, name: str, process: SuiteProcess | None, still: float = 0.0) -> bool:
        """Return whether a process is still alive.

        Args:
            name: Its id.
            process: Its current state in the store, if any.
            still: The seconds since its last heartbeat when it is first seen here.
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
