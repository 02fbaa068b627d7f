"""A job, start to finish: build, train, evaluate, return what the store keeps for each run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from palimpsest.benchmark.randomness.generators import own_settings
from palimpsest.benchmark.runs.checkpoints.decoding import UnfitError
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.checkpoints.training import EarlierCost, ResumableTraining
from palimpsest.benchmark.runs.cost import peak_memory, reset_peak_memory, shared_statistics
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.runs.first_model.reuse import reuse_first_model
from palimpsest.benchmark.runs.first_model.storage import first_model_path
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.preparation import TRAINING, OnProgress, PreparedRun, prepare
from palimpsest.benchmark.runs.provenance import versions
from palimpsest.benchmark.runs.record import Record, check_record
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.suite import Run
from palimpsest.benchmark.training.evaluation import without_plugin
from palimpsest.strategies.base.diverged import DivergedError


def execute_job(
    runs: Job,
    root: Path,
    scratch: Path | None = None,
    progress: OnProgress = lambda _: None,
    checkpoints: CheckpointSettings | None = None,
) -> list[Record]:
    """Carry out runs that share one training; an error in a run ends up in its record.

    The results are those of each run by itself.

    Args:
        runs: What to do.
        root: The folder that holds the data sets.
        scratch: A folder through which jobs share their first model, or ``None``.
        progress: Called with how far the job is.
        checkpoints: Where the job goes on from if it was interrupted, and when it is saved;
            ``None``: never.

    Returns:
        The finished runs in their order, ``done`` or ``failed``; time is divided evenly. Where a
        job was interrupted, it includes the time up to the checkpoint.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    device = runs[0].spec.device
    reset_peak_memory(device)
    spent = EarlierCost()
    try:
        with own_settings():
            outcomes = _train_and_evaluate(runs, root, scratch, progress, checkpoints, spent)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a failed run must not end the suite, nor may it by SystemExit
        outcomes = [_failed(error) for _ in runs]
    seconds = (spent.seconds + time.perf_counter() - clock) / len(runs)
    ended = [
        Record(
            **run.cell(),
            status="failed",
            started=started.isoformat(timespec="milliseconds"),
            seconds=seconds,
            peak_memory=max(spent.memory, peak_memory(device)),
            versions=versions(),
        )
        for run in runs
    ]
    return [_completed(*each) for each in zip(ended, outcomes, strict=True)]


def _completed(record: Record, outcome: dict[str, Any]) -> Record:
    """Return a run with its outcome; where that cannot be stored, it has failed."""
    try:
        found = replace(record, **outcome)
        check_record(found)
    except (TypeError, ValueError) as error:
        return replace(record, **_failed(error))
    return found


def _failed(error: BaseException) -> dict[str, Any]:
    return {"status": "failed", "failure": Failure.of(error)}


def _train_and_evaluate(
    runs: Job,
    root: Path,
    scratch: Path | None,
    progress: OnProgress,
    checkpoints: CheckpointSettings | None,
    spent: EarlierCost,
) -> list[dict[str, Any]]:
    latest = JobProgress(0.0)

    def follow(job_progress: JobProgress) -> None:
        nonlocal latest
        latest = job_progress
        progress(job_progress)

    def tell(message: str) -> None:
        progress(replace(latest, message=message))

    try:
        return _run_job(runs, root, scratch, follow, tell, checkpoints, spent)
    except UnfitError as reason:  # and what was built is half changed
        assert checkpoints is not None
        tell(f"{checkpoints.folder}: a checkpoint is not used ({reason})")
        checkpoints.of(runs).remove()
        spent.seconds, spent.memory = 0.0, 0
        return _run_job(runs, root, scratch, follow, tell, checkpoints, spent)


def _run_job(
    runs: Job,
    root: Path,
    scratch: Path | None,
    progress: OnProgress,
    tell: Callable[[str], None],
    checkpoints: CheckpointSettings | None,
    spent: EarlierCost,
) -> list[dict[str, Any]]:
    """Carry out a job, from its checkpoint if there is one.

    Raises:
        UnfitError: A checkpoint does not fit.
    """
    ready = prepare(runs[0], root, progress, others=runs[1:])
    alone = len(runs) == 1
    if not alone and (any(ready.scenario.targets) or ready.probes):
        # Early stopping depends on evaluations, and probes look inside them: each run's own.
        return _one_by_one(runs, root, progress, checkpoints, spent)
    plain = ready.schedule.visits[0].plain
    shared = first_model_path(runs[0], ready.settings, scratch, plain=plain) if alone else None
    training = ResumableTraining(ready, runs, checkpoints, spent, tell)
    try:
        begin = training.resume()
        if begin is None:
            for measurement in ready.measurements:
                measurement.before(ready.strategy, ready.schedule)
        visits = len(ready.schedule.visits)
        for number in range(begin or 0, visits):
            training.before(number)
            with _told_as_divergence(ready):
                _train(ready, number, None if training.is_within else shared)
            training.after()
            for measurement in ready.measurements:
                measurement.after(ready.strategy, ready.schedule, number)
        training.before(visits)
        common = {
            "cost": ready.costs.result(ready.scenario.model, len(runs))
            | shared_statistics(ready.scenario),
            "probes": {name: probe.result(ready.strategy) for name, probe in ready.probes.items()},
        }
        common["cost"] |= ready.scenario.told
    except UnfitError:
        raise
    except Exception as error:  # of the training, or of the last run that had not failed
        return [_failed(found.error or error) for found in ready.measurements]
    return [
        {"status": "done", **found.result(), **common}
        if found.error is None
        else _failed(found.error)
        for found in ready.measurements
    ]


def _one_by_one(
    runs: Sequence[Run],
    root: Path,
    progress: OnProgress,
    checkpoints: CheckpointSettings | None,
    spent: EarlierCost,
) -> list[dict[str, Any]]:
    """Train each run separately; one that fails does not affect the others."""
    outcomes: list[dict[str, Any]] = []
    for i, run in enumerate(runs):

        def share(job_progress: JobProgress, i: int = i) -> None:
            progress(replace(job_progress, fraction=(i + job_progress.fraction) / len(runs)))

        own = EarlierCost()
        try:
            outcomes += _train_and_evaluate((run,), root, None, share, checkpoints, own)
        except Exception as error:
            outcomes.append(_failed(error))
        spent.add(own)
    return outcomes


@contextmanager
def _told_as_divergence(ready: PreparedRun) -> Iterator[None]:
    """Tell an error as divergence where numbers are not finite: few computations stand them."""
    try:
        yield
    except Exception as error:
        if ready.watch.is_training and Failure.of(error).kind is FailureKind.ERROR:
            try:
                ready.watch.require_finite(ready.strategy)
            except DivergedError as reason:
                raise reason from error
        raise


def _train(ready: PreparedRun, number: int, shared: Path | None) -> None:
    """Carry out a visit of the schedule."""
    strategy, train = ready.strategy, ready.scenario.train
    visit = ready.schedule.visits[number]
    if ready.schedule.order == "at once":
        strategy.train(train, **TRAINING)
        return
    (model,) = visit.models
    how = TRAINING | ({"visit": number} if ready.schedule.order == "visits" else {})
    with without_plugin(strategy, ready.plugin) if visit.plain else nullcontext():
        if number == 0 and shared is not None and (visit.plain or "visit" not in how):
            recorder = ready.measurements[0].recorder
            reuse_first_model(strategy, train[model], shared, recorder, **how)
        else:
            strategy.train(train[model], **how)
