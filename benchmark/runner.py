"""A job, start to finish: build, train, evaluate, return what the store keeps for each run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.advance import Advance
from benchmark.cost import peak_memory, reset_peak_memory
from benchmark.failure import Failure
from benchmark.first_model.storage import place_of
from benchmark.first_model.takeover import train_or_take_over
from benchmark.jobs import Job
from benchmark.preparation import TRAINING, OnProgress, Prepared, prepare
from benchmark.provenance import versions
from benchmark.store import Record
from benchmark.suite import Run


def execute_job(
    runs: Job,
    root: Path,
    scratch: Path | None = None,
    progress: OnProgress = lambda advance: None,
) -> list[Record]:
    """Carry out runs that share one training; an error in a run ends up in its record.

    The results are those of each run by itself.

    Args:
        runs: What to do.
        root: The folder that holds the data sets.
        scratch: A folder through which jobs share their first model, or ``None``.
        progress: Called with how far the job is.

    Returns:
        The finished runs in their order, ``done`` or ``failed``; time is divided evenly.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    device = runs[0].spec.device
    reset_peak_memory(device)
    try:
        outcomes = _train_and_evaluate(runs, root, scratch, progress)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a failed run must not end the suite, nor may it by SystemExit
        outcomes = [_failed(error) for _ in runs]
    seconds = (time.perf_counter() - clock) / len(runs)
    return [
        Record(
            **run.cell(),
            started=started.isoformat(timespec="seconds"),
            seconds=seconds,
            peak_memory=peak_memory(device),
            versions=versions(),
            **outcome,
        )
        for run, outcome in zip(runs, outcomes, strict=True)
    ]


def execute(
    run: Run, root: Path, scratch: Path | None = None, progress: OnProgress = lambda advance: None
) -> Record:
    """Carry out a run by itself, see ``execute_job``."""
    return execute_job((run,), root, scratch, progress)[0]


def _failed(error: BaseException) -> dict[str, Any]:
    return {"status": "failed", "failure": Failure.of(error)}


def _train_and_evaluate(
    runs: Sequence[Run], root: Path, scratch: Path | None, progress: OnProgress
) -> list[dict[str, Any]]:
    ready = prepare(runs[0], root, progress, others=runs[1:])
    alone = len(runs) == 1
    if not alone and (any(ready.scenario.targets) or ready.probes):
        # Early stopping depends on evaluations, and probes look inside them: each run's own.
        return _one_by_one(runs, root, progress)
    shared = place_of(runs[0], ready.settings, scratch) if alone else None
    try:
        for measurement in ready.measurements:
            measurement.before(ready.strategy, ready.schedule)
        for number in range(len(ready.schedule.visits)):
            _train(ready, number, shared)
            for measurement in ready.measurements:
                measurement.after(ready.strategy, ready.schedule, number)
        common = {
            "cost": ready.costs.result(ready.plugin, ready.scenario.model),
            "probes": {name: probe.result(ready.strategy) for name, probe in ready.probes.items()},
        }
    except Exception as error:  # of the training, or of the last run that had not failed
        return [_failed(found.error or error) for found in ready.measurements]
    return [
        {"status": "done", **found.result(), **common}
        if found.error is None
        else _failed(found.error)
        for found in ready.measurements
    ]


def _one_by_one(runs: Sequence[Run], root: Path, progress: OnProgress) -> list[dict[str, Any]]:
    """Train each run separately; one that fails does not affect the others."""
    outcomes: list[dict[str, Any]] = []
    for i, run in enumerate(runs):

        def share(advance: Advance, i: int = i) -> None:
            progress(replace(advance, fraction=(i + advance.fraction) / len(runs)))

        try:
            outcomes += _train_and_evaluate((run,), root, None, share)
        except Exception as error:
            outcomes.append(_failed(error))
    return outcomes


def _train(ready: Prepared, number: int, shared: Path | None) -> None:
    """Carry out a visit of the schedule."""
    strategy, train = ready.strategy, ready.scenario.train
    visit = ready.schedule.visits[number]
    if ready.schedule.order == "at once":
        strategy.train(train, **TRAINING)
        return
    (model,) = visit.models
    if ready.schedule.order == "visits":
        strategy.train(train[model], visit=number, **TRAINING)
    elif number == 0 and shared is not None:
        recorder = ready.measurements[0].recorder
        train_or_take_over(strategy, train[model], shared, recorder, **TRAINING)
    else:
        strategy.train(train[model], **TRAINING)
