"""The executor for Slurm: job arrays, submitted by submitit, whose tasks take jobs from a folder.

``task.py`` is the code of a task; ``job_folder.py`` is the folder.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from palimpsest.benchmark import plugins
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.executor import JobResult, Jobs, LostJob, OnJobProgress
from palimpsest.benchmark.executors.slurm.job_folder import (
    JobFolder,
    job_folders,
    job_folders_beside,
)
from palimpsest.benchmark.executors.slurm.submission import Submission
from palimpsest.benchmark.executors.slurm.task import TaskSettings
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.provenance import code_digest, palimpsest_version
from palimpsest.benchmark.runs.record_files import read_run
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.resources import Resources

_POLL_SECONDS = 0.3
_STATE_SECONDS = 2.0
_NEWS_SECONDS = 1.0
_TOUCH_SECONDS = 20.0
_END_SECONDS = 15.0
"""The time to wait for the end of idle tasks before the folder is removed."""

_IN_VAIN = 2
"""How many arrays in a row may end without a finished job."""

_MOST_AHEAD = 64
"""The maximum of queued jobs per task, if runs are short."""


class SlurmArrays:
    """Runs jobs in the tasks of job arrays; each task takes one job after another.

    Args:
        root: The folder that holds the data sets, the same on every node.
        store: The results database; the job folder is next to it.
        workers: The number of parallel jobs.
        scratch: The parent of the folder for shared files on nodes; ``None`` for the system's.
        run_timeout: The time limit of a run in seconds, or ``None``.
        resources: The resources of a run, by the suite's name.
        parameters: Of ``sbatch``, by name.
        checkpoints: Of the jobs, in a folder that all nodes share; ``None`` for none.
        local: Start the tasks on this machine, without Slurm.

    Raises:
        UserError: There is no Slurm here, or a parameter is wrong.
    """

    def __init__(
        self,
        root: Path,
        store: Path,
        workers: int,
        scratch: Path | None = None,
        run_timeout: float | None = None,
        resources: Mapping[str, Resources] | None = None,
        parameters: Mapping[str, str] | None = None,
        checkpoints: CheckpointSettings | None = None,
        local: bool = False,
    ) -> None:
        if not local and shutil.which("sbatch") is None:
            raise UserError(
                "executor slurm: there is no sbatch on this machine; run the command where jobs "
                "are submitted"
            )
        self.workers = workers
        self.local = local
        self.parameters = dict(parameters or {})
        self._root, self._scratch, self._run_timeout = root.absolute(), scratch, run_timeout
        self.store = store
        self._resources = resources or {}
        self._checkpoints = checkpoints
        self._suite = uuid.uuid4().hex[:12]
        self._arrays: _Arrays | None = None
        Submission.check(self.parameters, job_folders(store), local=local)

    def __enter__(self) -> Self:
        for job_folder in job_folders_beside(self.store):
            if job_folder.is_abandoned() and not job_folder.tasks():  # its runs are in the store
                job_folder.remove()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._arrays is not None:
            self._arrays.end()

    def execute(self, jobs: Jobs, report: OnJobProgress) -> Generator[JobResult, None, None]:
        """Run jobs; see ``Executor``.

        Raises:
            UserError: Slurm accepts no jobs, or its tasks cannot run any.
        """
        self._arrays = arrays = _Arrays(self, jobs, report)
        try:
            while not arrays.is_done:
                yield from arrays.next_results()
            arrays.finish()
        finally:
            arrays.end()

    def open(self, shape: _Shape) -> JobFolder:
        """Make the folder for the jobs of a shape.

        Raises:
            UserError: It cannot be written.
        """
        name = f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        job_folder = JobFolder(job_folders(self.store) / name)
        settings = TaskSettings(
            self._suite, self._root, self._scratch, self._run_timeout, self._checkpoints,
            shape.at_a_time, plugins.loaded(), palimpsest_version(), code_digest(),
        )  # fmt: skip
        try:
            job_folder.make(settings)
        except OSError as error:
            raise UserError(f"{job_folder.folder}: cannot be written ({error.strerror})") from error
        return job_folder

    def shape(self, job: Job) -> _Shape:
        """Return the resources of a task for such jobs."""
        needs = self._resources.get(job[0].suite, Resources())
        return _Shape.of(needs, job[0].spec.device)


@dataclass(frozen=True)
class _Shape:
    """The resources of a task, and the number of its parallel jobs.

    Slurm allocates whole processors and GPUs. Jobs that need less share those of a task.
    """

    at_a_time: int
    cpus: int
    gpus: int
    memory: int | None

    @classmethod
    def of(cls, needs: Resources, device: str) -> _Shape:
        gpus = needs.gpus_on(device)
        least = gpus or needs.cpus
        count = int(1 / least + 1e-9) if least < 1 else 1
        memory = needs.memory and math.ceil(needs.memory * count / 2**20)
        return cls(count, math.ceil(needs.cpus * count), math.ceil(gpus * count), memory)


class _Arrays:
    """The arrays of some jobs, one for each shape."""

    def __init__(self, slurm: SlurmArrays, jobs: Jobs, report: OnJobProgress) -> None:
        self._slurm = slurm
        self._jobs = iter(jobs)
        self._most = len(jobs)
        self._report = report
        self._arrays: dict[_Shape, _Array] = {}
        self._exhausted = False
        self._count = 0
        self._ahead = max(2, slurm.workers // 4)

    @property
    def is_done(self) -> bool:
        """Whether every job has ended."""
        return self._exhausted and not any(array.jobs for array in self._arrays.values())

    def next_results(self) -> Iterator[JobResult]:
        """Wait briefly for results, and yield them."""
        self._hand_out()
        found = False
        for array in [*self._arrays.values()]:
            for result, number, keys in array.results(self._report):
                found = True
                yield result
                array.job_folder.forget(number, keys)  # the store has it
            array.report_progress(self._report)
            yield from array.lost_jobs()
        if not found:
            time.sleep(_POLL_SECONDS)

    def finish(self) -> None:
        """Let the idle tasks end."""
        for array in self._arrays.values():
            array.finish()

    def end(self) -> None:
        """End all tasks, and remove the folders unless runs are left in them."""
        for array in self._arrays.values():
            array.end()
        self._arrays.clear()

    def _hand_out(self) -> None:
        idle = any(not array.job_folder.waiting() for array in self._arrays.values() if array.begun)
        if idle and self._ahead < _MOST_AHEAD * self._slurm.workers:
            self._ahead *= 2  # runs are short, so that tasks need more jobs in advance
        while not self._exhausted:
            if sum(len(array.jobs) for array in self._arrays.values()) >= (
                self._slurm.workers + self._ahead
            ):
                break
            job = next(self._jobs, None)
            if job is None:
                self._exhausted = True
                break
            shape = self._slurm.shape(job)
            if shape not in self._arrays:
                self._arrays[shape] = _Array(self._slurm, shape, self._most)
            self._count += 1
            self._arrays[shape].put(self._count, job)
        for array in self._arrays.values():
            array.submit_missing()


class _Array:
    """The jobs of one shape, and the tasks that run them."""

    def __init__(self, slurm: SlurmArrays, shape: _Shape, most: int) -> None:
        self.job_folder = slurm.open(shape)
        self.jobs: dict[int, Job] = {}
        self.begun = False
        tasks = math.ceil(min(slurm.workers, most) / shape.at_a_time)
        wanted: dict[str, object] = {"cpus_per_task": shape.cpus}
        if shape.gpus:
            wanted["gpus_per_node"] = shape.gpus
        if shape.memory:
            wanted["mem"] = f"{shape.memory}M"
        self._tasks = tasks
        self._submission = Submission(
            self.job_folder.folder, wanted | slurm.parameters, local=slurm.local
        )
        self._in_vain = 0
        self._progress = 0
        self._ended = 0
        self._look_due = 0.0
        self._touch_due = 0.0
        self._hear_due = 0.0
        self._gone: set[str] = set()

    def put(self, number: int, job: Job) -> None:
        """Put a job into the queue.

        Raises:
            UserError: It cannot be written.
        """
        try:
            self.job_folder.offer(number, job)
        except OSError as error:
            raise UserError(
                f"{self.job_folder.folder}: cannot be written ({error.strerror})"
            ) from error
        self.jobs[number] = job

    def submit_missing(self) -> None:
        """Submit an array if there is none, or if all of its tasks have ended."""
        if self.jobs and not self._submission.tasks:
            self._submission.submit(max(1, min(self._tasks, len(self.jobs))))
            self._look_due = time.monotonic() + _STATE_SECONDS
            self._progress = self._ended
            self._gone.clear()

    def results(self, report: OnJobProgress) -> Iterator[tuple[JobResult, int, list[str]]]:
        """Yield the available results, each with the job's number and its runs' keys."""
        ended = [*self.job_folder.ended()]
        if ended:
            self._hear_due = 0.0
            self.report_progress(report)  # their last messages
        for number, outcome in ended:
            job = self.jobs.get(number)
            if job is None:
                continue
            keys = [run.key for run in job]
            result: JobResult
            if isinstance(outcome, LostJob):
                result = outcome
            else:
                try:
                    result = [read_run(self.job_folder.results / f"{key}.json") for key in keys]
                except (OSError, ValueError):  # not yet visible on the network file system
                    continue
            del self.jobs[number]
            self._ended += 1
            self.begun = True
            yield result, number, keys

    def report_progress(self, report: OnJobProgress) -> None:
        """Report the progress of jobs, and show tasks that this process is alive."""
        now = time.monotonic()
        if now >= self._touch_due:
            self._touch_due = now + _TOUCH_SECONDS
            self.job_folder.touch()
        if now < self._hear_due:
            return
        self._hear_due = now + _NEWS_SECONDS
        for _, latest in self.job_folder.news():
            for number, job_progress in latest.items():
                if number in self.jobs:
                    self.begun = True
                    report(self.jobs[number], job_progress)

    def lost_jobs(self) -> list[LostJob]:
        """Ask Slurm from time to time for the tasks, and return the jobs of ended ones.

        Raises:
            UserError: Tasks never start, end immediately, or cannot run jobs.
        """
        if (refused := self.job_folder.said("refused")) is not None:
            raise UserError(f"{refused}")
        now = time.monotonic()
        if now < self._look_due:
            return []
        self._look_due = now + _STATE_SECONDS
        gone = self._submission.gone()
        if self._submission.hopeless:
            raise UserError(
                f"Slurm will never start these runs ({self._submission.hopeless}): no node or "
                "partition has what they ask for; change the suite's resources, or --slurm"
            )
        certain = gone & self._gone  # seen twice, so that their last files have arrived
        self._gone = gone
        lost = []
        for number, task in [*self.job_folder.taken()]:
            if task in certain and number in self.jobs:
                job = self.jobs.pop(number)
                self.job_folder.forget(number, [])
                self._ended += 1
                lost.append(self._lost(job, task))
        for task in certain:
            self.job_folder.forget_task(task)
        if certain and certain == self._submission.tasks:
            self._all_gone()
        return lost

    def finish(self) -> None:
        """Tell tasks that there are no more jobs, and wait briefly for their end."""
        self.job_folder.say("end")
        self._submission.cancel(waiting_only=True)
        limit = time.monotonic() + _END_SECONDS
        while time.monotonic() < limit and self.job_folder.tasks():
            time.sleep(0.1)

    def end(self) -> None:
        """End all tasks, and remove the folder unless runs are left in it."""
        with contextlib.suppress(OSError):
            self.job_folder.withdraw()
            self.job_folder.say("end")
        self._submission.cancel()
        self.job_folder.remove()

    def _lost(self, job: Job, task: str) -> LostJob:
        state = self._submission.state(task)
        memory = "OUT_OF_ME" in state or "oom" in state.lower()
        kind = FailureKind.OUT_OF_MEMORY if memory else FailureKind.KILLED
        return LostJob(job, f"its Slurm task {task} has ended: {state}", kind)

    def _all_gone(self) -> None:
        self._in_vain = 0 if self._ended > self._progress else self._in_vain + 1
        task = max(self._submission.tasks)
        state = self._submission.state(task)
        if self._in_vain >= _IN_VAIN or state.startswith("CANCELLED"):
            raise UserError(
                f"the tasks of the Slurm array have ended before the runs had: {task} {state}"
            )
        self._submission.tasks.clear()
