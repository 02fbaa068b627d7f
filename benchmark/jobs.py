"""From runs to jobs: what is trained once. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.suite import Run

Job = tuple[Run, ...]
"""Runs that share one training. Mostly one run."""


def jobs_of(runs: Iterable[Run]) -> list[Job]:
    """Return runs as jobs, each where its first run was.

    Args:
        runs: Those to carry out.
    """
    return [(run,) for run in runs]
