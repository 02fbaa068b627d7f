"""What every executor does: it runs jobs somewhere, and returns their results."""

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
"""Called with a job under way and how far it is."""


class Jobs(Protocol):
    """Jobs in an order; a list is one."""

    def __iter__(self) -> Iterator[Job]:
        """Yield them; they may become fewer meanwhile."""

    def __len__(self) -> int:
        """At most this many come."""


@dataclass(frozen=True)
class LostJob:
    """A job that gave no result, because what carried it out ended before it did.

    That may be the job's own fault (it takes too much memory) or not (another job does, or the
    machine went away), so that it is worth a retry.

    Attributes:
        job: Its runs.
        reason: What is known about the end, and what the user can do, for the runs' records.
        kind: What kind of failure it is for the runs that are lost again.
        final: Whether it is not worth another try: it took too long, or the executor has tried it
            again already.
    """

    job: Job
    reason: str
    kind: FailureKind = FailureKind.KILLED
    final: bool = False


class Executor(Protocol):
    """Carries out jobs with ``runner.execute_job``: here, in other processes, on other machines.

    It is a context manager: what it needs (processes, connections, a folder that its jobs share)
    exists from entry to exit. Jobs, plugins and records are plain data that can be sent
    anywhere; nothing else is shared with what runs a job.
    """

    @property
    def workers(self) -> int:
        """How many jobs it runs at a time."""

    def __enter__(self) -> Self:
        """Get ready."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the jobs still under way, and release all resources."""

    def execute(
        self, jobs: Jobs, report: OnJobProgress
    ) -> Generator[list[Record] | LostJob, None, None]:
        """Carry out jobs.

        Args:
            jobs: Started in this order; the next one is taken when something is free for it.
            report: Called in the caller's thread, now and then, while it waits for a result.

        Yields:
            One result per job, in the order in which they end: a record of each of its runs, or a
            ``LostJob``. An error inside a run is in its record and does not affect other runs. If
            the caller closes the iterator (on an interrupt), active jobs are ended.

        Raises:
            UserError: Nothing can run here; says why and what to do.
        """
