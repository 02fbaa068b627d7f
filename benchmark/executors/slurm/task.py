"""The code of a task of a Slurm array: it takes jobs from a folder until there are no more.

It runs them in its own worker processes, like the local executor.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from palimpsest.benchmark import plugins
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.executor import JobResult, LostJob
from palimpsest.benchmark.executors.local.workers import WorkerProcesses
from palimpsest.benchmark.executors.scratch import NodeScratch
from palimpsest.benchmark.executors.shipped_data import has_data
from palimpsest.benchmark.executors.slurm.job_folder import JobFolder
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.provenance import code_digest, palimpsest_version
from palimpsest.benchmark.runs.record_files import write_run
from palimpsest.benchmark.suites.jobs import Job

_PAUSE_SECONDS = 0.3
_NEWS_SECONDS = 1.0


@dataclass(frozen=True)
class TaskSettings:
    """The settings of all tasks of an array.

    Attributes:
        suite: Unique for every running suite.
        root: The folder that holds the data sets.
        scratch: The parent of the folder for shared files; ``None`` for the system's.
        run_timeout: The time limit of a run in seconds, or ``None``.
        checkpoints: Of the jobs, or ``None``.
        at_a_time: The number of parallel jobs of a task.
        plugins: The plugins that the suite's process has loaded.
        version: Of this package in the suite's process.
        digest: The hash of its code there.
    """

    suite: str
    root: Path
    scratch: Path | None
    run_timeout: float | None
    checkpoints: CheckpointSettings | None
    at_a_time: int
    plugins: plugins.Loaded
    version: str
    digest: str


def serve(folder: str) -> None:
    """Run jobs until there are no more, or the suite has ended.

    Args:
        folder: Of the ``JobFolder``.
    """
    from submitit import JobEnvironment

    signal.signal(signal.SIGTERM, _stop)  # submitit would ignore it
    job_folder, task = JobFolder(Path(folder)), str(JobEnvironment().job_id)
    settings: TaskSettings = job_folder.settings()
    with job_folder.at_work(task):
        if settings.digest != code_digest():
            job_folder.say(
                "refused",
                f"node {socket.gethostname()} has palimpsest-bench {palimpsest_version()} of other "
                f"code than the {settings.version} of this command; install the same on every node",
            )
            return
        plugins.load_again(settings.plugins)
        job_folder.give_back(task)
        scratch = NodeScratch(f"slurm-{settings.suite}-{socket.gethostname()}", settings.scratch)
        try:
            _Task(job_folder, task, settings, scratch.folder).work()
        finally:
            scratch.leave()


class _Task:
    """The work of one task; iterating over it takes jobs."""

    def __init__(
        self, job_folder: JobFolder, task: str, settings: TaskSettings, scratch: Path | None
    ) -> None:
        self._job_folder = job_folder
        self._task = task
        self._setting = settings
        self._scratch = scratch
        self._numbers: dict[str, int] = {}
        self._latest: dict[int, JobProgress] = {}
        self._told = 0.0
        self._checked: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return self._setting.at_a_time

    def __iter__(self) -> Iterator[Job]:
        while not self._is_over():
            taken = self._job_folder.take(self._task)
            if taken is None:
                return
            number, job = taken
            self._check_data(job)
            self._numbers[job[0].key] = number
            yield job

    def work(self) -> None:
        """Run jobs until there are no more."""
        it = self._setting
        try:
            pool = WorkerProcesses(
                it.root, it.at_a_time, it.scratch, it.run_timeout, it.checkpoints, self._scratch
            )
            with pool:
                while not self._is_over():
                    if self._job_folder.waiting():
                        for result in pool.execute(self, self._report):
                            self._note(result)
                    if self._job_folder.said("end") is not None:
                        return
                    time.sleep(_PAUSE_SECONDS)
        except UserError as error:
            self._job_folder.say("refused", f"node {socket.gethostname()}: {error}")

    def _is_over(self) -> bool:
        return self._job_folder.said("refused") is not None or self._job_folder.is_abandoned()

    def _check_data(self, job: Job) -> None:
        for name, expected in job[0].spec.scenario.fingerprints.items():
            if (name, expected) not in self._checked and not has_data(
                name, expected, self._setting.root
            ):
                raise UserError(
                    f"data set {name!r} is not under {self._setting.root} as it is on the machine "
                    "of this command; use a folder that all nodes share (--data-root)"
                )
            self._checked.add((name, expected))

    def _report(self, job: Job, job_progress: JobProgress) -> None:
        number = self._numbers[job[0].key]
        before = self._latest.get(number)
        if before is not None and not job_progress.message:
            job_progress = replace(
                job_progress, message=before.message
            )  # it may not have been read yet
        self._latest[number] = job_progress
        now = time.monotonic()
        if now >= self._told + _NEWS_SECONDS:
            self._told = now
            self._tell()

    def _tell(self) -> None:
        self._job_folder.tell(self._task, (socket.gethostname(), dict(self._latest)))

    def _note(self, result: JobResult) -> None:
        key = result.job[0].key if isinstance(result, LostJob) else result[0].key
        number = self._numbers.pop(key)
        if number in self._latest and self._latest[number].message:
            self._tell()
        if isinstance(result, LostJob):
            self._job_folder.end_job(number, result)
        else:
            for record in result:
                write_run(self._job_folder.results, record)
            self._job_folder.end_job(number, None)
        self._latest.pop(number, None)


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
