"""The executor that runs jobs in worker processes, which are reused.

On Linux a fork server does the imports for all workers. Data sets are shared as files in a scratch
folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from pathlib import Path
from queue import Empty, SimpleQueue

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.executor import JobResult, Jobs, LostJob, OnJobProgress
from palimpsest.benchmark.executors.local.in_worker import Message
from palimpsest.benchmark.executors.local.starting import check_may_start
from palimpsest.benchmark.executors.local.worker import Worker
from palimpsest.benchmark.executors.scratch import WithScratch
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.suites.jobs import Job

_POLL_SECONDS = 0.2
_START_SECONDS = 300.0
"""The time limit for the start of a worker."""

_IN_VAIN = 2
"""How many times in a row each worker may end before any worker is ready."""


class WorkerProcesses(WithScratch):
    """Runs jobs in processes on this machine, with one thread each.

    If a process dies, its job is lost, and a new process is started. Other jobs are not affected.

    Args:
        root: The folder that holds the data sets.
        workers: The number of processes.
        scratch: The parent of the folder for shared files; ``None`` for the system's.
        run_timeout: The time limit of a run in seconds, or ``None``. The limit of a job is the sum
            over its runs.
        checkpoints: Of the jobs, or ``None``.
        shared: An existing folder for shared files to use instead.
    """

    def __init__(
        self,
        root: Path,
        workers: int,
        scratch: Path | None = None,
        run_timeout: float | None = None,
        checkpoints: CheckpointSettings | None = None,
        shared: Path | None = None,
    ) -> None:
        super().__init__(scratch, shared)
        self._checkpoints = checkpoints
        self._run_timeout = run_timeout
        self._root = root
        self._workers = workers

    @property
    def workers(self) -> int:
        """The number of processes."""
        return self._workers

    def execute(self, jobs: Jobs, report: OnJobProgress) -> Generator[JobResult, None, None]:
        """Run jobs; see ``Executor``.

        Raises:
            UserError: This process may not start others, or workers do not start.
        """
        check_may_start()
        size = min(self._workers, len(jobs))
        folders = (self._root, self._scratch, self._checkpoints)
        pool = _Pool(jobs, size, folders, self._run_timeout)
        try:
            while not pool.is_done:
                yield from pool.next_results(report)
        finally:
            pool.end()


class _Pool:
    """The workers for some jobs.

    Args:
        jobs: In this order.
        size: The number of workers.
        folders: The folder of the data sets, the one for shared files or ``None``, and the settings
            of checkpoints or ``None``.
        run_timeout: The time limit of a run in seconds, or ``None``.
    """

    def __init__(
        self,
        jobs: Jobs,
        size: int,
        folders: tuple[Path, Path | None, CheckpointSettings | None],
        run_timeout: float | None,
    ) -> None:
        self._jobs = iter(jobs)
        self._next: Job | None = None
        self._exhausted = False
        self._size = size
        self._folders = folders
        self._run_timeout = run_timeout
        self._news: SimpleQueue[tuple[Worker, Message | None]] = SimpleQueue()
        self._workers: set[Worker] = set()
        self._in_vain = 0

    @property
    def is_done(self) -> bool:
        """Whether every job has ended."""
        return self._exhausted and not any(worker.job for worker in self._workers)

    def next_results(self, report: OnJobProgress) -> list[JobResult]:
        """Wait briefly for messages, and return the results among them."""
        self._hand_out(report)
        try:
            worker, message = self._news.get(timeout=_POLL_SECONDS)
        except Empty:
            for worker in self._workers:
                _report(worker, report)
            results: list[JobResult] = []
        else:
            known = worker in self._workers  # else it was ended meanwhile
            results = self._note(worker, message, report) if known else []
        if self._news.empty():  # a job that has ended meanwhile is not overdue
            results += self._end_overdue()
        self._hand_out(report)  # before the results are processed
        return results

    def end(self) -> None:
        """Kill all processes."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.end()

    def _hand_out(self, report: OnJobProgress) -> None:
        """Give jobs to idle workers, and start missing workers."""
        for worker in self._workers:
            if worker.ready and worker.job is None:
                self._next = self._next or next(self._jobs, None)
                if self._next is None:
                    self._exhausted = True
                    return
                if worker.begin(self._next):
                    self._next = None
                    _report(worker, report)
        while not self._exhausted and len(self._workers) < self._size:
            self._workers.add(Worker(self._news, *self._folders))

    def _note(
        self, worker: Worker, message: Message | None, report: OnJobProgress
    ) -> list[JobResult]:
        if message is None:
            return self._ended(worker)
        if message == "ready":
            self._in_vain, worker.ready = 0, True
        elif isinstance(message, JobProgress):
            worker.job_progress = message
            _report(worker, report)
        elif isinstance(message, UserError):
            raise message
        else:
            worker.job = None
            return [message]
        return []

    def _ended(self, worker: Worker) -> list[JobResult]:
        """Handle the end of a process, and return its lost job."""
        self._workers.remove(worker)
        exit = worker.exit()
        if not worker.ready:
            self._in_vain += 1
        if self._in_vain >= _IN_VAIN * self._size:
            raise UserError(
                f"workers end as soon as they start: {exit}; run everything in this process "
                "(workers=0 in Python), which may show why"
            )
        return [] if worker.job is None else [LostJob(worker.job, str(exit), exit.kind)]

    def _end_overdue(self) -> list[JobResult]:
        """End the processes of overdue jobs, and return these jobs as lost."""
        lost: list[JobResult] = []
        now = time.monotonic()
        for worker in [*self._workers]:
            passed = now - worker.since
            if worker.job is not None and passed > self._limit(worker.job):
                self._workers.remove(worker)
                worker.end()
                reason = f"it took longer than {self._limit(worker.job):g} s (--run-timeout)"
                lost.append(LostJob(worker.job, reason, FailureKind.TIMED_OUT, final=True))
            elif not worker.ready and passed > _START_SECONDS:
                worker.end()
        return lost

    def _limit(self, job: Job) -> float:
        return math.inf if self._run_timeout is None else self._run_timeout * len(job)


def _report(worker: Worker, report: OnJobProgress) -> None:
    if worker.job is not None:
        report(worker.job, worker.job_progress)
