"""The code in a Ray worker process: it runs a job, and reports its progress.

Importing this needs neither torch nor Ray, so that a node without them can report it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palimpsest.benchmark import plugins
from palimpsest.benchmark.executors.local.in_worker import execute, prepare, seldom
from palimpsest.benchmark.executors.scratch import NodeScratch
from palimpsest.benchmark.executors.shipped_data import has_data, write_parts
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.provenance import code_digest, palimpsest_version
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.jobs import Job

_SECONDS = 1.0
"""The time between two messages of a job."""


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of all jobs of a suite.

    Attributes:
        suite: Unique for every running suite.
        root: The folder that holds the data sets, if the node has it.
        scratch: The parent of the folder for shared files; ``None`` for the system's.
        folder: The working directory, to which the paths of data sets may be relative.
        plugins: The plugins that the suite's process has loaded.
        version: Of this package in the suite's process.
        digest: The hash of its code there.
        data: Data sets in Ray's object store, by name: references to the parts of each.
        checkpoints: Of the jobs, or ``None``.
    """

    suite: str
    root: Path
    scratch: Path | None
    folder: str
    plugins: plugins.Loaded
    version: str
    digest: str
    data: Mapping[str, Sequence[Any]]
    checkpoints: CheckpointSettings | None


@dataclass(frozen=True)
class NodeRefusal:
    """The reason why a node cannot run the suite's jobs."""

    reason: str


@dataclass(frozen=True)
class MissingData:
    """The data sets of a job, if a node lacks some of them."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """An attempt of a process at a job.

    Attributes:
        id: Unique for each attempt.
        host: The machine's name.
    """

    id: str
    host: str


Outcome = list[Record] | NodeRefusal | MissingData
News = tuple[Attempt, JobProgress]


class MessageBoard:
    """The actor with the latest progress of active jobs, which tasks write and the suite reads."""

    def __init__(self) -> None:
        self._news: dict[int, News] = {}

    def tell(self, number: int, news: News) -> None:
        """Note the progress of a job."""
        self._news[number] = news

    def take(self) -> dict[int, News]:
        """Return the progress since the last call."""
        news, self._news = self._news, {}
        return news


class _Process:
    """This process, prepared for the jobs of a suite."""

    def __init__(self, setting: WorkerSettings) -> None:
        self.suite = setting.suite
        self.scratch = NodeScratch(node_scratch(setting.suite), setting.scratch)
        with contextlib.suppress(OSError):
            os.chdir(setting.folder)
        prepare(self.scratch.folder, setting.plugins)
        self._roots: dict[tuple[tuple[str, str], ...], Path] = {}

    def root(self, job: Job, setting: WorkerSettings) -> Path | None:
        """Return the folder that holds a job's data sets, or ``None``.

        Raises:
            OSError: Sent data sets cannot be written.
        """
        needed = tuple(sorted(job[0].spec.scenario.fingerprints.items()))
        if needed in self._roots:
            return self._roots[needed]
        found = next((root for root in self._places(setting) if _has_all(needed, root)), None)
        if found is None and all(name in setting.data for name, _ in needed):
            found = self._fetch([name for name, _ in needed], setting)
        if found is not None:
            self._roots[needed] = found
        return found

    def _places(self, setting: WorkerSettings) -> list[Path]:
        sent = self.scratch.folder and self.scratch.folder / "data"
        return [setting.root, *([sent] if sent else [])]

    def _fetch(self, names: Sequence[str], setting: WorkerSettings) -> Path:
        """Write data sets from the object store, once per node."""
        import ray

        if self.scratch.folder is None:
            raise OSError(0, "no folder for scratch files")
        root = self.scratch.folder / "data"
        root.mkdir(exist_ok=True)
        with (root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in names:
                mark = root / f".{setting.data[name][0].hex()}" if setting.data[name] else None
                if mark is not None and not mark.exists():
                    write_parts((ray.get(part) for part in setting.data[name]), root)
                    mark.touch()
        return root


_process: _Process | None = None


def run_job(job: Job, number: int, setting: WorkerSettings, board: Any) -> Outcome:
    """Run a job in this process.

    Args:
        job: The runs.
        number: The job's number on the board.
        setting: Of the suite.
        board: The ``MessageBoard``.
    """
    global _process  # noqa: PLW0603  # Ray reuses its processes
    host = socket.gethostname()
    if setting.digest != code_digest():
        return NodeRefusal(
            f"node {host} has palimpsest-bench {palimpsest_version()} of other code than the "
            f"{setting.version} of this command; install the same on every node"
        )
    attempt = Attempt(uuid.uuid4().hex, host)

    message = ""

    def tell(job_progress: JobProgress) -> None:
        nonlocal message
        message = job_progress.message or message  # the last one may not have been read yet
        job_progress = replace(job_progress, message=message)
        board.tell.options(num_returns=0).remote(number, (attempt, job_progress))

    tell(JobProgress(0.0))
    if _process is None or _process.suite != setting.suite:
        if _process is not None:
            _process.scratch.leave()
        _process = _Process(setting)
    try:
        root = _process.root(job, setting)
    except OSError as error:
        return NodeRefusal(
            f"node {host} cannot keep the data sets that are sent to it ({error}); free space "
            "there, or name another folder (--scratch)"
        )
    if root is None:
        return MissingData(tuple(sorted(job[0].spec.scenario.fingerprints)))
    kept = setting.checkpoints
    if kept is not None and not kept.store.is_file():
        kept = None  # the node does not see the store, so nothing would remove its checkpoints
    return execute(job, root, _process.scratch.folder, seldom(tell, _SECONDS), kept)


def node_scratch(suite: str) -> str:
    """Return the name of a suite's scratch folder on this node; several may be on one machine."""
    import ray

    return f"ray-{suite}-{ray.get_runtime_context().get_node_id()[:12]}"


def _has_all(needed: Sequence[tuple[str, str]], root: Path) -> bool:
    return all(has_data(name, expected, root) for name, expected in needed)
