"""Groups runs into jobs, each of which trains once. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable

from palimpsest.benchmark.suites.suite import Run

Job = tuple[Run, ...]
"""Runs that share one training because they differ only in a dial that acts after it; mostly one
run."""


def jobs_of(runs: Iterable[Run]) -> list[Job]:
    """Group runs into jobs, each in the place of its first run.

    A strategy's facts say whether its dial acts after training. If a store already has some values
    of a dial, the others are trained again, with the same results as if all had run together.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_training(run), []).append(run)
    return [tuple(group) for group in groups.values()]


def _training(run: Run) -> str:
    """Return everything that decides a run's training, as text."""
    dial = run.facts.dial
    if dial is None or not dial.after_training:
        return run.key
    spec = run.spec
    return json.dumps([spec.pairing, spec.strategy.without_dial.data, spec.probes])
