"""How long a suite will take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from benchmark.store import Record
from benchmark.suite import Run

_SECONDS_A_STEP = 0.003
"""A small network on one core; what other machines and networks need differs by factors."""
_SAMPLES_UNKNOWN = 50_000


def estimate(todo: Sequence[Run], known: Sequence[Record], workers: int) -> str:
    """Return the time in words, from runs of the same scenario if the store has any.

    Args:
        todo: The runs to be made.
        known: Finished runs to judge by.
        workers: How many run at once.
    """
    measured: dict[str, list[float]] = {}
    for record in known:
        if record.status == "done":
            measured.setdefault(record.scenario, []).append(record.seconds)
    seconds = sum(
        mean(measured[run.scenario]) if run.scenario in measured else _guess(run) for run in todo
    )
    minutes = seconds / min(workers, max(1, len(todo))) / 60
    rough = "about" if all(run.scenario in measured for run in todo) else "very roughly"
    if minutes < 1:
        return f"{rough} {max(1, round(60 * minutes))} s"
    return f"{rough} {minutes:.0f} min"


def _guess(run: Run) -> float:
    scenario = run.spec["scenario"]
    models = scenario.get("models") or scenario.get("experiences") or 2
    steps = scenario["steps"] or scenario["epochs"] * _SAMPLES_UNKNOWN / scenario["batch_size"]
    return float(models * steps * _SECONDS_A_STEP)
