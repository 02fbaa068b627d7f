"""One model's training after one earlier model and after fifty, in a bank of the same size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from palimpsest.benchmark.runs.preparation import TRAINING, PreparedRun, prepare
from palimpsest.benchmark.speed.measure import Case, Stopwatch
from palimpsest.benchmark.suites.suite import Run

FEW, MANY = 1, 50
"""Earlier models in the first repeat; each repeat trains one more."""


def case(run: Run, root: Path) -> Case:
    """Return the case, whose two phases train the next model of two banks."""
    method = run.spec.strategy.kind
    banks: dict[str, tuple[PreparedRun, list[int]]] = {}
    phases = {"after 1 model": FEW, f"after {MANY} models": MANY}

    def train() -> Mapping[str, float]:
        seconds = {}
        for phase, earlier in phases.items():
            if phase not in banks:
                banks[phase] = _trained(run, root, earlier)
            ready, left = banks[phase]
            watch = Stopwatch(run.spec.device)
            ready.strategy.train(ready.scenario.train[left.pop(0)], **TRAINING)
            seconds[phase] = watch.seconds()
        return seconds

    scenario = prepare(run, root).scenario
    samples = len(scenario.train[0].dataset) * run.spec.scenario.settings["epochs"]
    return Case(run.scenario, method, "palimpsest", dict.fromkeys(phases, samples), train)


def _trained(run: Run, root: Path, models: int) -> tuple[PreparedRun, list[int]]:
    """Return a bank whose first models are trained, and the remaining experiences."""
    ready = prepare(run, root)
    for experience in ready.scenario.train[:models]:
        ready.strategy.train(experience, **TRAINING)
    return ready, list(range(models, len(ready.scenario.train)))
