"""Leases, by which several processes on one store share its runs.

Each process takes a lease of a job before it begins it. A lease is in the store, and lasts while
its process is alive (``liveness.py``). A process without further jobs waits for the others, and
takes the jobs of processes that were killed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.executor import Jobs
from palimpsest.benchmark.store.active_runs import End
from palimpsest.benchmark.store.liveness import Liveness
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.store.unsaved_runs import take_in, unsaved_runs
from palimpsest.benchmark.suites.jobs import Job

_PAUSE_SECONDS = 1.0
"""The time between two checks of other processes."""


class Leases:
    """Yields the jobs that no other process has leased.

    Args:
        store: Open for writing.
        process: The id of this process in the store.
        elsewhere: Called with the key of a run that another process has ended.
        idle: Called from time to time while this process only waits.
        clock: Returns seconds; for tests.
        sleep: Waits for some seconds; for tests.
    """

    def __init__(
        self,
        store: Store,
        process: str,
        elsewhere: Callable[[str], None],
        idle: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._process = process
        self._elsewhere = elsewhere
        self._idle = idle
        self._sleep = sleep
        self._before = store.ends()
        self._liveness = Liveness(clock)

    def rounds(self, jobs: Sequence[Job]) -> Iterator[Jobs]:
        """Yield jobs, which are leased by iteration, until all have ended in some process.

        Args:
            jobs: All jobs.
        """
        left = [*jobs]
        while left:
            offer = _Offer(left, self.lease)
            yield offer
            left = self._wait(offer.refused)

    def lease(self, job: Job) -> Job | None:
        """Lease a job.

        Returns:
            The runs of the job that have not ended, or ``None`` if another process has a lease.
        """
        try:
            with self._store.waiting(_PAUSE_SECONDS):
                lease = self._store.lease([run.key for run in job], self._process, self._lives)
        except UserError:  # without leases, runs may be executed twice, but none has to wait
            return job
        rest = self._rest(job, lease.ended)
        return rest if lease.taken or not rest else None

    def _wait(self, refused: Sequence[Job]) -> list[Job]:
        """Wait for other processes; return the remaining jobs when one of them is free."""
        left = [*refused]
        while left:
            beside = unsaved_runs(self._store.path)
            if beside.runs:
                with contextlib.suppress(UserError), self._store.waiting(_PAUSE_SECONDS):
                    take_in(self._store, beside)
            ends, leases = self._store.ends(), self._store.leases()
            left = [rest for job in left if (rest := self._rest(job, ends))]
            if any(not self._is_leased(job, leases) for job in left):
                return left
            if left:
                self._idle()
                self._sleep(_PAUSE_SECONDS)
        return []

    def _rest(self, job: Job, ends: Mapping[str, End]) -> Job:
        """Return the runs of a job that have not ended since this process began."""
        ended = {
            run.key
            for run in job
            if (end := ends.get(run.key))
            and (end.status == "done" or end != self._before.get(run.key))
        }
        for run in job:
            if run.key in ended:
                self._elsewhere(run.key)
        return tuple(run for run in job if run.key not in ended)

    def _is_leased(self, job: Job, leases: Mapping[str, str]) -> bool:
        holders = {leases[run.key] for run in job if run.key in leases}
        return any(self._lives(holder) for holder in holders)

    def _lives(self, process: str) -> bool:
        """Whether a process is still alive."""
        found = next((each for each in self._store.active_processes() if each.id == process), None)
        return self._liveness.lives(process, found)


class _Offer:
    """Jobs that are leased by iteration, without those that other processes have leased."""

    def __init__(self, jobs: Sequence[Job], lease: Callable[[Job], Job | None]) -> None:
        self._jobs = jobs
        self._lease = lease
        self.refused: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        for job in self._jobs:
            rest = self._lease(job)
            if rest is None:
                self.refused.append(job)
            elif rest:
                yield rest
