"""The protocol of all executors: they run jobs somewhere, and return their results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.jobs import Job

OnJobProgress = Callable[[Job, JobProgress], None]
"""Called with an active job and its progress."""


class Jobs(Protocol):
    """Jobs in an order, such as a list."""

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs; some may be left out."""

    def __len__(self) -> int:
        """The maximum of jobs."""


@dataclass(frozen=True)
class LostJob:
    """A job without a result, because its process ended before the job did.

    The cause may be the job itself (it takes too much memory) or not (another job does, or the
    machine is gone), so a retry may succeed.

    Attributes:
        job: Its runs.
        reason: Why the process ended, and what the user can do, for the runs' records.
        kind: The kind of failure for the records.
        final: Whether there is no retry: the job took too long, or the executor has retried it.
    """

    job: Job
    reason: str
    kind: FailureKind = FailureKind.KILLED
    final: bool = False


JobResult = list[Record] | LostJob
"""The records of a job's runs, or a lost job."""


class Executor(Protocol):
    """Runs jobs with ``runner.execute_job``, in this process, in others, or on other machines.

    It is a context manager: its resources (processes, connections, a folder that its jobs share)
    exist from entry to exit. Jobs, plugins and records are plain data that can be sent anywhere.
    Nothing else is shared with the process of a job.
    """

    @property
    def workers(self) -> int:
        """The number of parallel jobs."""

    def __enter__(self) -> Self:
        """Acquire all resources."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End active jobs, and release all resources."""

    def execute(self, jobs: Jobs, report: OnJobProgress) -> Generator[JobResult, None, None]:
        """Run jobs.

        Args:
            jobs: Started in this order; the next one is taken when a worker is free.
            report: Called in the caller's thread from time to time, while it waits for a result.

        Yields:
            One result per job, in the order in which they end: a record of each of its runs, or a
            ``LostJob``. An error inside a run is in its record and does not affect other runs. If
            the caller closes the iterator (on an interrupt), active jobs are ended.

        Raises:
            UserError: Nothing can run here; says why and what to do.
        """
