"""Runs through an executor: order and retries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from palimpsest.benchmark.executors.executor import Executor, Jobs, LostJob, OnJobProgress
from palimpsest.benchmark.runs.failure import Failure
from palimpsest.benchmark.runs.first_model.order import first_models_first
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.provenance import versions
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.jobs import Job, jobs_of
from palimpsest.benchmark.suites.suite import Run

Rounds = Callable[[Sequence[Job]], Iterable[Jobs]]


def run_jobs(
    runs: Sequence[Run],
    executor: Executor,
    report: OnJobProgress,
    retries: int = 1,
    rounds: Rounds = lambda jobs: [jobs],
) -> Iterator[Record]:
    """Carry out runs; yield each as it ends.

    Lost jobs are tried again when all others have ended, one run at a time, so that they cannot
    affect each other; the record's ``cost`` says how often. A run that is lost each time is
    recorded as failed, and so, at once, is one whose loss is final.

    Args:
        runs: What to do.
        executor: What carries them out, entered.
        report: Called with the progress of each job.
        retries: How often a lost run is tried again.
        rounds: Makes of all jobs those that are done here, in turn: by default all at once.

    Yields:
        One record per run, in the order in which they end.

    Raises:
        UserError: The executor cannot run anything here.
    """
    for jobs in rounds(first_models_first(jobs_of(runs), executor.workers)):
        yield from _round(jobs, executor, report, retries)


def _round(jobs: Jobs, executor: Executor, report: OnJobProgress, retries: int) -> Iterator[Record]:
    lost: list[LostJob] = []
    with closing(executor.execute(jobs, report)) as results:
        for result in results:
            if isinstance(result, LostJob):
                if result.final or not retries:
                    yield from (_failed(run, result) for run in result.job)
                    continue
                lost.append(result)
                report(result.job, JobProgress(0.0))
            else:
                yield from result
    for each in lost:
        for run in each.job:
            yield _tried_again(run, each, executor, report, retries)


def _tried_again(
    run: Run, lost: LostJob, executor: Executor, report: OnJobProgress, tries: int
) -> Record:
    for before in range(1, tries + 1):
        (result,) = executor.execute([(run,)], report)
        if not isinstance(result, LostJob):
            return replace(result[0], cost=result[0].cost | {"lost": before})
        lost = result
        if lost.final:
            break
    return _failed(run, lost)


def _failed(run: Run, lost: LostJob) -> Record:
    failure = Failure(lost.kind, lost.reason)
    return Record(**run.cell(), status="failed", failure=failure, versions=versions())
