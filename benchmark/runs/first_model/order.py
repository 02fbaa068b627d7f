"""The order of jobs that lets runs take first models over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from palimpsest.benchmark.suites.jobs import Job


def first_models_first(jobs: Sequence[Job], workers: int) -> list[Job]:
    """Start each scenario and seed with one job, well before its others.

    The others take over its first model, which several workers would otherwise train at once. One
    job of each scenario comes before all else: what a scenario takes, or that it fails, is known
    soon.

    Args:
        jobs: In the order in which they were requested.
        workers: How many run at a time.
    """
    groups: dict[tuple[str, str, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job[0].suite, job[0].scenario, job[0].seed), []).append(job)
    scenarios = {key[:2]: group[0] for key, group in reversed(groups.items())}
    firsts = [*reversed(scenarios.values())]
    firsts += [group[0] for key, group in groups.items() if group[0] is not scenarios[key[:2]]]
    begin = max(workers, len(scenarios))
    ordered, ahead = firsts[:begin], iter(firsts[begin:])
    for group in groups.values():
        ordered += group[1:]
        ordered += islice(ahead, 1)
    return ordered
