"""How long a suite will take."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from benchmark.store import Record
from benchmark.suite import Run

_SECONDS_A_STEP = 0.003
"""For a small network on one core; other machines and networks differ by factors."""
_TRAINING_SAMPLES = {"digits": 1_300, "mnist": 54_000, "fashion_mnist": 54_000, "kmnist": 54_000}
_OTHER_SAMPLES = 45_000


def estimate(todo: Sequence[Run], known: Sequence[Record], workers: int) -> str:
    """Return the time in words, from runs of the same scenario if the store has any.

    Args:
        todo: The runs to carry out.
        known: Finished runs to estimate from.
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
    scenario = run.spec.scenario.settings
    models = scenario.get("models") or scenario.get("experiences") or 2
    samples = scenario["samples"] or _TRAINING_SAMPLES.get(scenario["data"], _OTHER_SAMPLES)
    passes = 1 if scenario["family"] == "split" else models
    steps = models * (scenario["steps"] or 0)
    steps += passes * (scenario["epochs"] or 0) * samples / scenario["batch_size"]
    return float(steps * _SECONDS_A_STEP)
