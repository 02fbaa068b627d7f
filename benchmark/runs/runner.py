"""Executes a job: builds, trains, evaluates, and returns a record for each run."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
from palimpsest.benchmark.training.evaluation import without_plugin
from palimpsest.strategies.base.diverged import DivergedError


def execute_job(
    runs: Job,
    root: Path,
    scratch: Path | None = None,
    progress: OnProgress = lambda _: None,
    checkpoints: CheckpointSettings | None = None,
) -> list[Record]:
    """Execute runs that share one training. An error in a run is stored in its record.

    Each run has the results that it would have alone.

    Args:
        runs: The runs.
        root: The folder that holds the data sets.
        scratch: A folder through which jobs share their first model, or ``None``.
        progress: Called with the progress of the job.
        checkpoints: When and where the job is saved, and resumed if it was interrupted; ``None``:
            never.

    Returns:
        The finished runs in their order, ``done`` or ``failed``; time is divided evenly. Where a
        job was interrupted, it includes the time up to the checkpoint.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    device = runs[0].spec.device
    reset_peak_memory(device)
    execution = _JobExecution(runs, root, scratch, progress, checkpoints)
    earlier = execution.earlier
    try:
        with own_settings():
            outcomes = execution.outcomes()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a failed run must not end the suite, not even by SystemExit
        outcomes = [_failed(error) for _ in runs]
    seconds = (earlier.seconds + time.perf_counter() - clock) / len(runs)
    ended = [
        Record(
            **run.cell(),
            status="failed",
            started=started.isoformat(timespec="milliseconds"),
            seconds=seconds,
            peak_memory=max(earlier.memory, peak_memory(device)),
            versions=versions(),
        )
        for run in runs
    ]
    return [_completed(*each) for each in zip(ended, outcomes, strict=True)]


def _completed(record: Record, outcome: dict[str, Any]) -> Record:
    """Return a record with its outcome; if that cannot be stored, the run has failed."""
    try:
        found = replace(record, **outcome)
        check_record(found)
    except (TypeError, ValueError) as error:
        return replace(record, **_failed(error))
    return found


def _failed(error: BaseException) -> dict[str, Any]:
    return {"status": "failed", "failure": Failure.of(error)}


class _JobExecution:
    """Trains and evaluates the runs of a job, from its checkpoint if there is one.

    Args:
        job: The runs.
        root: The folder that holds the data sets.
        scratch: A folder through which jobs share their first model, or ``None``.
        progress: Called with the progress of the job.
        checkpoints: When and where it is saved; ``None``: never.

    Attributes:
        earlier: What the job cost before it was interrupted.
    """

    def __init__(
        self,
        job: Job,
        root: Path,
        scratch: Path | None,
        progress: OnProgress,
        checkpoints: CheckpointSettings | None,
    ) -> None:
        self._job = job
        self._root = root
        self._scratch = scratch
        self._progress = progress
        self._checkpoints = checkpoints
        self._latest = JobProgress(0.0)
        self.earlier = EarlierCost()

    def outcomes(self) -> list[dict[str, Any]]:
        """Return the fields of each run's record that depend on how it ended."""
        try:
            return self._outcomes()
        except UnfitError as reason:  # what was built is half changed, so it is built again
            assert self._checkpoints is not None
            self._notify(f"{self._checkpoints.folder}: a checkpoint is not used ({reason})")
            self._checkpoints.of(self._job).remove()
            self.earlier.seconds, self.earlier.memory = 0.0, 0
            return self._outcomes()

    def _follow(self, job_progress: JobProgress) -> None:
        self._latest = job_progress
        self._progress(job_progress)

    def _notify(self, message: str) -> None:
        self._progress(replace(self._latest, message=message))

    def _outcomes(self) -> list[dict[str, Any]]:
        job = self._job
        ready = prepare(job[0], self._root, self._follow, others=job[1:])
        alone = len(job) == 1
        if not alone and (any(ready.scenario.targets) or ready.probes):
            # Early stopping depends on evaluations, and probes look inside them: each run's own.
            return self._one_by_one()
        plain = ready.schedule.visits[0].plain
        scratch = self._scratch if alone else None
        shared = first_model_path(job[0], ready.settings, scratch, plain=plain)
        training = ResumableTraining(ready, job, self._checkpoints, self.earlier, self._notify)
        try:
            begin = training.resume()
            if begin is None:
                for measurement in ready.measurements:
                    measurement.before(ready.strategy, ready.schedule)
            visits = len(ready.schedule.visits)
            for number in range(begin or 0, visits):
                training.before(number)
                with _errors_as_divergence(ready):
                    _train(ready, number, None if training.is_within else shared)
                training.after()
                for measurement in ready.measurements:
                    measurement.after(ready.strategy, ready.schedule, number)
            training.before(visits)
            common = _common_results(ready, len(job))
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

    def _one_by_one(self) -> list[dict[str, Any]]:
        """Train each run separately; one that fails does not affect the others."""
        outcomes: list[dict[str, Any]] = []
        for i, run in enumerate(self._job):

            def share(own: JobProgress, i: int = i) -> None:
                self._follow(replace(own, fraction=(i + own.fraction) / len(self._job)))

            alone = _JobExecution((run,), self._root, None, share, self._checkpoints)
            try:
                outcomes += alone.outcomes()
            except Exception as error:
                outcomes.append(_failed(error))
            self.earlier.add(alone.earlier)
        return outcomes


def _common_results(ready: PreparedRun, runs: int) -> dict[str, Any]:
    """Return the results that all runs of a job share."""
    costs = ready.costs.result(ready.scenario.model, runs)
    return {
        "cost": costs | shared_statistics(ready.scenario) | ready.scenario.told,
        "probes": {name: probe.result(ready.strategy) for name, probe in ready.probes.items()},
    }


@contextmanager
def _errors_as_divergence(ready: PreparedRun) -> Iterator[None]:
    """Report an error as divergence if numbers are not finite: they make most computations fail."""
    try:
        yield
    except Exception as error:
        if ready.monitor.is_training and Failure.of(error).kind is FailureKind.ERROR:
            try:
                ready.monitor.require_finite(ready.strategy)
            except DivergedError as reason:
                raise reason from error
        raise


def _train(ready: PreparedRun, number: int, shared: Path | None) -> None:
    """Train on a visit of the schedule."""
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
