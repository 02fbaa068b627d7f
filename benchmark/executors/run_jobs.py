"""Runs jobs with an executor, in a good order and with retries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

from palimpsest.benchmark.executors.executor import Executor, Jobs, LostJob, OnJobProgress
from palimpsest.benchmark.runs.failure import Failure
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
    """Execute runs, and yield each when it ends.

    Lost jobs are retried after all others have ended, one run at a time, so that they cannot affect
    each other; the record's ``cost`` has the number of retries. A run that is lost each time is
    recorded as failed; if its loss is final, without a retry.

    Args:
        runs: The runs.
        executor: An entered executor.
        report: Called with the progress of each job.
        retries: How often a lost run is retried.
        rounds: Splits all jobs into rounds of jobs for this process; by default one round.

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


def first_models_first(jobs: Sequence[Job], workers: int) -> list[Job]:
    """Start each scenario and seed with one job, well before its other jobs.

    The other jobs reuse its first model, which several workers would otherwise train at once. One
    job of each scenario comes first, so that failures and run times are known soon.

    Args:
        jobs: In the requested order.
        workers: The number of parallel jobs.
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
