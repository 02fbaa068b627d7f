"""The executor for Ray: jobs are tasks of a cluster, which schedules and retries them.

``task.py`` is the code of a task.
"""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray import exceptions as ray_errors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from palimpsest.benchmark import plugins
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.executor import JobResult, Jobs, LostJob, OnJobProgress
from palimpsest.benchmark.executors.ray import task as ray_task
from palimpsest.benchmark.executors.ray.connection import connect, first_line
from palimpsest.benchmark.executors.ray.nodes import Nodes
from palimpsest.benchmark.executors.ray.task import (
    Attempt,
    MissingData,
    NodeRefusal,
    WorkerSettings,
)
from palimpsest.benchmark.executors.scratch import remove_node_scratch
from palimpsest.benchmark.executors.shipped_data import parts_of
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.provenance import code_digest, palimpsest_version
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.resources import Resources

_POLL_SECONDS = 0.2
_NEWS_SECONDS = 0.5
_NODES_SECONDS = 5.0

_NO_NODE_SECONDS = 300.0
"""How long a cluster may have no node for the remaining jobs."""

_AHEAD = 0.25
"""The share of jobs that wait in the cluster, for idle nodes and for an autoscaler."""

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class RayCluster:
    """Runs jobs on a Ray cluster.

    Ray retries lost jobs at once, on any node.

    Args:
        root: The folder that holds the data sets. Missing data sets are sent to nodes.
        address: ``auto`` for the cluster of this machine (if there is none, a cluster of this
            machine is started, and ended at the exit), or ``HOST:PORT``.
        workers: The maximum of parallel jobs; ``None`` for the room of the cluster.
        scratch: The parent of the folder for shared files on nodes; ``None`` for the system's.
        run_timeout: The time limit of a run in seconds, or ``None``.
        retries: How often a job is retried after its process or node has died.
        resources: The resources of a run, by the suite's name.
        checkpoints: Of the jobs, on nodes that see their folder; ``None`` for none.

    Raises:
        UserError: There is no such cluster.
    """

    def __init__(
        self,
        root: Path,
        address: str = "auto",
        workers: int | None = None,
        scratch: Path | None = None,
        run_timeout: float | None = None,
        retries: int = 1,
        resources: Mapping[str, Resources] | None = None,
        checkpoints: CheckpointSettings | None = None,
    ) -> None:
        self._connected = connect(address)
        self._root = root
        self._most = workers
        self._run_timeout = run_timeout
        self._retries = retries
        self._resources = resources or {}
        self._suite = uuid.uuid4().hex[:12]
        self._setting = WorkerSettings(
            self._suite, root, scratch, str(Path.cwd()), plugins.loaded(), palimpsest_version(),
            code_digest(), {}, checkpoints,
        )  # fmt: skip
        self._active: _ActiveTasks | None = None
        self.nodes = Nodes()
        self._is_lost = False

    @property
    def workers(self) -> int:
        """The number of parallel jobs in the current cluster."""
        shapes = list(self._resources.values()) or [Resources()]
        room = max(self.nodes.room(shape, "cpu") for shape in shapes)
        return max(1, min(room, self._most or room))

    def __enter__(self) -> Self:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        actor = ray.remote(ray_task.MessageBoard).options(
            num_cpus=0, max_restarts=-1, scheduling_strategy=here
        )
        self._board = actor.remote()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_lost:
            if self._active is not None:
                self._active.end()
            with contextlib.suppress(ray_errors.RayError):
                self._clean_up()
                ray.kill(self._board)
        if self._connected:
            ray.shutdown()

    def execute(self, jobs: Jobs, report: OnJobProgress) -> Generator[JobResult, None, None]:
        """Run jobs; see ``Executor``.

        Raises:
            UserError: No node has the resources of a run, or a node cannot run jobs.
        """
        self._active = active = _ActiveTasks(self, jobs, report)
        try:
            while not active.is_done:
                yield from active.next_results()
        finally:
            if not self._is_lost:
                active.end()

    def check_here(self) -> None:
        """Stop if Ray has ended on this machine, since it would soon end this process, too.

        Raises:
            UserError: Ray has ended.
        """
        if not self.nodes.answers_here():
            self._is_lost = True
            raise UserError(
                "Ray has ended on this machine (its raylet died or was killed), so no run can be "
                "executed; start it again ('ray start'), and the same command continues with the "
                "runs that have not ended"
            )

    def needs(self, job: Job) -> Resources:
        """Return the resources of a job."""
        return self._resources.get(job[0].suite, Resources())

    def limit(self, job: Job) -> float:
        """Return the time limit of a job in seconds."""
        return math.inf if self._run_timeout is None else self._run_timeout * len(job)

    @property
    def most(self) -> float:
        """The maximum of parallel jobs."""
        return self._most or math.inf

    @property
    def board(self) -> Any:
        """The actor that has the progress of active jobs."""
        return self._board

    def submit(self, job: Job, number: int, setting: Any) -> Any:
        """Submit a job to Ray; return the reference to its result."""
        needs, device = self.needs(job), job[0].spec.device
        task = ray.remote(ray_task.run_job).options(
            name=f"palimpsest {job[0].key}",
            num_cpus=needs.cpus,
            num_gpus=needs.gpus_on(device),
            memory=needs.memory,
            max_retries=self._retries,
            runtime_env={"env_vars": _THREADS},
        )
        return task.remote(job, number, setting, self._board)

    def setting(self) -> Any:
        """Return a reference to the settings for nodes."""
        return ray.put(self._setting)

    def send(self, names: tuple[str, ...]) -> None:
        """Put data sets into the object store for nodes.

        Raises:
            UserError: They cannot be sent.
        """
        data = dict(self._setting.data)
        for name in names:
            if name not in data:
                data[name] = [ray.put(part) for part in parts_of(name, self._root)]
        self._setting = replace(self._setting, data=data)

    def _clean_up(self) -> None:
        """Remove the scratch folder of every node, except of nodes that do not answer."""
        removing = []
        for node in self.nodes.alive():
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            task = ray.remote(_remove_scratch).options(
                num_cpus=0, max_retries=0, scheduling_strategy=there
            )
            removing.append(task.remote(self._suite, self._setting.scratch))
        ray.wait(removing, num_returns=len(removing), timeout=5) if removing else None


@dataclass
class _Task:
    """A job that Ray has."""

    job: Job
    number: int  # on the board
    share: float  # of the cluster's resources
    attempt: Attempt | None = None  # None while it waits
    since: float = math.inf  # when the attempt began, by time.monotonic
    job_progress: JobProgress = field(default_factory=lambda: JobProgress(0.0))


class _ActiveTasks:
    """The tasks of some jobs."""

    def __init__(self, cluster: RayCluster, jobs: Jobs, report: OnJobProgress) -> None:
        self._cluster = cluster
        self._jobs = iter(jobs)
        self._next: Job | None = None
        self._exhausted = False
        self._report = report
        self._tasks: dict[Any, _Task] = {}
        self._numbers: dict[int, _Task] = {}
        self._count = 0
        self._share = 0.0
        self._setting = cluster.setting()
        self._asked: Any = None
        self._due = 0.0
        self._able = time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether every job has ended."""
        return self._exhausted and not self._tasks

    def next_results(self) -> Iterator[JobResult]:
        """Wait briefly for results, and yield them."""
        self._hand_out()
        ended: list[Any] = []
        if self._tasks:
            ended, _ = ray.wait([*self._tasks], timeout=_POLL_SECONDS)
        if ended:
            ended, _ = ray.wait([*self._tasks], num_returns=len(self._tasks), timeout=0)
        else:
            self._check_nodes()
        self._hear()
        results = [result for each in ended if (result := self._ended(each)) is not None]
        results += self._end_overdue()
        self._hand_out()  # before the results are processed
        yield from results

    def end(self) -> None:
        """Cancel active tasks, and wait briefly for their end. A second call does nothing."""
        for each in self._tasks:
            with contextlib.suppress(ray_errors.RayError):
                ray.cancel(each, force=True)
        if self._tasks:
            with contextlib.suppress(ray_errors.RayError):
                ray.wait([*self._tasks], num_returns=len(self._tasks), timeout=5)
        self._tasks.clear()

    def _hand_out(self) -> None:
        """Submit jobs while there is room."""
        while not self._exhausted and len(self._tasks) < self._cluster.most:
            if self._next is None:
                if self._share >= 1 + _AHEAD and len(self._tasks) > 1:
                    return
                self._next = next(self._jobs, None)
                if self._next is None:
                    self._exhausted = True
                    return
            job, self._next = self._next, None
            needs, device = self._cluster.needs(job), job[0].spec.device
            room = self._cluster.nodes.room(needs, device)
            if not room and not self._tasks:
                self._cluster.nodes.refuse(needs, device)
            self._count += 1
            self._submit(_Task(job, self._count, 1 / max(1, room)))

    def _submit(self, task: _Task) -> None:
        self._tasks[self._cluster.submit(task.job, task.number, self._setting)] = task
        self._numbers[task.number] = task
        self._share += task.share

    def _hear(self) -> None:
        """Ask the board for progress from time to time, and report it."""
        if self._asked is None and time.monotonic() >= self._due:
            self._due = time.monotonic() + _NEWS_SECONDS
            self._asked = self._cluster.board.take.remote()
        if self._asked is None or not ray.wait([self._asked], timeout=0)[0]:
            return
        news: dict[int, ray_task.News] = {}
        with contextlib.suppress(ray_errors.RayError):  # without news, runs go on
            news = ray.get(self._asked)
        self._asked = None
        for number, (attempt, job_progress) in news.items():
            task = self._numbers.get(number)
            if task is None:
                continue
            if attempt != task.attempt:
                task.attempt, task.since = attempt, time.monotonic()
                if job_progress.fraction:
                    self._report(task.job, JobProgress(0.0))
            task.job_progress = job_progress
        for task in self._numbers.values():
            if task.attempt is not None:
                self._report(task.job, task.job_progress)

    def _ended(self, reference: Any) -> JobResult | None:
        """Return the result of a task that has ended; ``None`` if it had to be sent again."""
        task = self._forget(reference)
        where = "" if task.attempt is None else f" on node {task.attempt.host}"
        try:
            outcome: ray_task.Outcome = ray.get(reference)
        except ray_errors.OutOfMemoryError:
            reason = f"its process{where} was ended by Ray: out of memory; reserve more (resources)"
            return LostJob(task.job, reason, FailureKind.OUT_OF_MEMORY, final=True)
        except (ray_errors.RayTaskError, ray_errors.RuntimeEnvSetupError) as error:
            raise UserError(
                f"runs cannot be executed{where} ({_last_line(error)}); every node needs the same "
                f"palimpsest-bench {palimpsest_version()} as this machine"
            ) from error
        except ray_errors.RayError as error:
            self._cluster.check_here()
            reason = f"its process{where} was lost: {first_line(error)}"
            return LostJob(task.job, reason, final=True)
        if isinstance(outcome, NodeRefusal):
            raise UserError(outcome.reason)
        if isinstance(outcome, MissingData):
            self._cluster.send(outcome.names)
            self._setting = self._cluster.setting()
            self._submit(replace(task, attempt=None, since=math.inf))
            return None
        return outcome

    def _end_overdue(self) -> list[JobResult]:
        now = time.monotonic()
        lost: list[JobResult] = []
        for each, task in [*self._tasks.items()]:
            limit = self._cluster.limit(task.job)
            if now - task.since > limit:
                ray.cancel(each, force=True)
                self._forget(each)
                reason = f"it took longer than {limit:g} s (--run-timeout)"
                lost.append(LostJob(task.job, reason, FailureKind.TIMED_OUT, final=True))
        return lost

    def _forget(self, reference: Any) -> _Task:
        task = self._tasks.pop(reference)
        del self._numbers[task.number]
        self._share -= task.share
        return task

    def _check_nodes(self) -> None:
        """Update the nodes from time to time; stop if none has had enough resources for long.

        Raises:
            UserError: No node has enough resources, or Ray has ended here.
        """
        if not self._cluster.nodes.look(_NODES_SECONDS):
            return
        self._cluster.check_here()
        first = next(iter(self._tasks.values()), None)
        now = time.monotonic()
        if first is None:
            self._able = now
            return
        needs, device = self._cluster.needs(first.job), first.job[0].spec.device
        if self._cluster.nodes.room(needs, device):
            self._able = now
        elif now - self._able > _NO_NODE_SECONDS:
            self._cluster.nodes.refuse(needs, device)


def _remove_scratch(suite: str, scratch: Path | None) -> None:
    remove_node_scratch(ray_task.node_scratch(suite), scratch)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
