"""The executor that runs jobs one after another in this process."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from palimpsest.benchmark.executors.executor import Jobs, OnJobProgress
from palimpsest.benchmark.executors.scratch import WithScratch
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.jobs import Job


class InProcess(WithScratch):
    """Runs jobs in this process, with one thread, like a worker.

    It is used only on request: a debugger stops in a run, and a run may use objects that a notebook
    defines. A run that ends the process ends the suite.

    After each job, the threads, the warnings and the random generators of the process are restored.

    Args:
        root: The folder that holds the data sets.
        scratch: The parent of the folder for shared files; ``None`` for the system's.
        checkpoints: Of the jobs, or ``None``.
    """

    workers = 1

    def __init__(
        self, root: Path, scratch: Path | None = None, checkpoints: CheckpointSettings | None = None
    ) -> None:
        super().__init__(scratch)
        self._checkpoints = checkpoints
        self._root = root

    def execute(self, jobs: Jobs, report: OnJobProgress) -> Generator[list[Record], None, None]:
        """Run jobs; see ``Executor``. No job is lost, except with this process."""
        for job in jobs:
            report(job, JobProgress(0.0))
            yield self._one(job, report)

    def _one(self, job: Job, report: OnJobProgress) -> list[Record]:
        with as_in_a_worker(job[0].spec.device):
            from palimpsest.benchmark.runs.runner import execute_job

            own = (self._root, self._scratch, lambda job_progress: report(job, job_progress))
            return execute_job(job, *own, self._checkpoints)


@contextmanager
def as_in_a_worker(device: str) -> Iterator[None]:
    """Make this process like a worker, and restore it afterwards.

    Args:
        device: The device whose random generators are restored.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Avalanche's, several per run
        import torch

        from palimpsest.benchmark.randomness.generators import own_numbers

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # so that the numbers are the same
        try:
            with own_numbers(torch.device(device)):
                yield
        finally:
            torch.set_num_threads(threads)
