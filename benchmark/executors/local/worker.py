"""A worker process as seen by the process that gives it jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue

from palimpsest.benchmark import plugins
from palimpsest.benchmark.executors.local import in_worker, starting
from palimpsest.benchmark.executors.local.control_groups import ControlGroups
from palimpsest.benchmark.executors.local.in_worker import Message
from palimpsest.benchmark.executors.process_exit import ProcessExit
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.suites.jobs import Job

_PATIENCE = 5.0
"""Seconds that the end of a process is waited for."""

_FORK_SERVER_GONE = 255
"""The exit status that Python gives where nobody knows it."""


class Worker:
    """A process that runs one job at a time.

    A thread listens to it, so that no process, whatever state it is in, can block this one. Workers
    do not import the program that starts them, so that scripts need no
    ``if __name__ == "__main__"``, and notebooks work.

    Args:
        news: Gets what the process sends, with this worker; ``None`` when it has ended.
        root: The folder that holds the data sets.
        scratch: The folder through which workers share files, or ``None``.
        checkpoints: Of the jobs, or ``None``.

    Attributes:
        job: What it is carrying out, or ``None``.
        job_progress: How far that is.
        since: When that began, or else the process (``time.monotonic``).
        ready: Whether it has started.
    """

    def __init__(
        self,
        news: SimpleQueue[tuple[Worker, Message | None]],
        root: Path,
        scratch: Path | None,
        checkpoints: CheckpointSettings | None = None,
    ) -> None:
        self.job: Job | None = None
        self.job_progress = JobProgress(0.0)
        self.since = time.monotonic()
        self.ready = False
        self._news = news
        self._kills_before = ControlGroups().memory_kills()
        context = starting.context()
        self._connection, theirs = context.Pipe()
        arguments = (theirs, root, scratch, plugins.loaded(), checkpoints)
        self._process = context.Process(target=in_worker.serve, args=arguments)
        with theirs:
            starting.start(self._process)
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def begin(self, job: Job) -> bool:
        """Give it a job; return whether it is still there to take it."""
        try:
            self._connection.send(job)
        except OSError:
            return False
        self.job, self.job_progress, self.since = job, JobProgress(0.0), time.monotonic()
        return True

    def kill(self) -> None:
        """Let the process end, whatever it is doing."""
        self._process.kill()

    def end(self) -> None:
        """End the process, and wait for that."""
        self.kill()
        self._process.join(_PATIENCE)
        if self._process.exitcode == _FORK_SERVER_GONE and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def exit(self) -> ProcessExit:
        """Return how the process has ended."""
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        self.end()  # where it only closed its connection, or nobody knows
        kills = ControlGroups().memory_kills()
        return ProcessExit(code, out_of_memory=kills > self._kills_before)

    def _listen(self) -> None:
        # What a job has started may hold the connection open when the process itself has ended.
        with contextlib.suppress(Exception), self._connection as connection:
            while connection in wait([connection, self._process.sentinel]):
                self._news.put((self, connection.recv()))
        self._news.put((self, None))
