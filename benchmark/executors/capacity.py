"""The number of workers for this machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

from palimpsest.benchmark.executors.local.control_groups import ControlGroups

_MEMORY = Path("/proc/meminfo")


def processors(groups: ControlGroups | None = None) -> int:
    """Return the number of available processors, by affinity and the container's quota."""
    groups = groups or ControlGroups()
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    quota = groups.processors()
    return there if quota is None else min(there, math.ceil(quota))


def free_memory(groups: ControlGroups | None = None, memory: Path = _MEMORY) -> int | None:
    """Return the available memory in bytes; ``None`` if it is unknown."""
    groups = groups or ControlGroups()
    found = [groups.free_memory()]
    if memory.exists():
        for line in memory.read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                found.append(int(amount.split()[0]) * 1024)
    return min((bytes_ for bytes_ in found if bytes_ is not None), default=None)


def default_workers(jobs: int, footprint: int | None) -> tuple[int, str]:
    """Return the number of workers to start, and the reason.

    Args:
        jobs: The number of jobs.
        footprint: The memory of such a run in bytes, or ``None``.
    """
    count = min(processors(), max(1, jobs))
    free = free_memory()
    if footprint and free is not None and count * footprint > free:
        count = max(1, free // footprint)
        needed = f"a run has needed {_size(footprint)}, and {_size(free)} are free"
        return count, f"more would not fit into memory: {needed}"
    return count, "one per processor" if count > 1 or jobs > 1 else "one run"


def _size(bytes_: int) -> str:
    return f"{bytes_ / 1e9:.1f} GB"
