"""What every executor does: it carries out jobs, somewhere, and gives their results back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from benchmark.jobs import Job
from benchmark.store import Record

Report = Callable[[Job, float], None]
"""Told the fraction, from 0 to 1, that is done of a job under way."""


@dataclass(frozen=True)
class Lost:
    """A job that gave no result, because what carried it out ended before it did.

    That may be the job's own fault (it takes too much memory) or not (a neighbour's, a machine that
    was taken away), so that it is worth another try.

    Attributes:
        job: Its runs.
        reason: What is known of the end, and what the user can do, for the runs' records.
    """

    job: Job
    reason: str


class Executor(Protocol):
    """Carries out jobs with ``runner.execute_job``: here, in other processes, on other machines.

    It is a context: what it needs (processes, connections, a folder that its jobs share) is there
    from its beginning to its end. Jobs, plugins and records are plain data that can be sent
    anywhere; nothing else is shared with what carries out a job.
    """

    @property
    def workers(self) -> int:
        """How many jobs it carries out at a time."""

    def __enter__(self) -> Self:
        """Get ready."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what is still under way, and give back all that was taken."""

    def execute(
        self, jobs: Sequence[Job], report: Report
    ) -> Generator[list[Record] | Lost, None, None]:
        """Carry out jobs.

        Args:
            jobs: Begun in this order.
            report: Called in the caller's thread, now and then, while it waits for a result.

        Yields:
            One result per job, in the order in which they end: a record of each of its runs, or
            ``Lost``. Whatever goes wrong inside a run is in its record and ends no other. Where the
            caller closes the iterator (an interrupt), the jobs under way end.

        Raises:
            UserError: Nothing can be carried out here; says why and what to do.
        """
