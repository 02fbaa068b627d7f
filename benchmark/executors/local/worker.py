"""A worker process, from the side of the parent process."""

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
"""The seconds to wait for the end of a process."""

_FORK_SERVER_GONE = 255
"""Python's value for an unknown exit status."""


class Worker:
    """A process that runs one job at a time.

    A thread listens to it, so that no process can block this one. Workers do not import the main
    program, so that scripts need no ``if __name__ == "__main__"``, and notebooks work.

    Args:
        news: Receives this worker with each message of the process, and with ``None`` at its end.
        root: The folder that holds the data sets.
        scratch: The folder in which workers share files, or ``None``.
        checkpoints: Of the jobs, or ``None``.

    Attributes:
        job: The active job, or ``None``.
        job_progress: The progress of the job.
        since: When the job or else the process began (``time.monotonic``).
        ready: Whether the process has started.
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
        """Send a job to the process; return whether that was possible."""
        try:
            self._connection.send(job)
        except OSError:
            return False
        self.job, self.job_progress, self.since = job, JobProgress(0.0), time.monotonic()
        return True

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process, and wait for its end."""
        self.kill()
        self._process.join(_PATIENCE)
        if self._process.exitcode == _FORK_SERVER_GONE and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def exit(self) -> ProcessExit:
        """Return the end of the process."""
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        self.end()  # in case it only closed its connection
        kills = ControlGroups().memory_kills()
        return ProcessExit(code, out_of_memory=kills > self._kills_before)

    def _listen(self) -> None:
        # Child processes of a job may keep the connection open after the process has ended.
        with contextlib.suppress(Exception), self._connection as connection:
            while connection in wait([connection, self._process.sentinel]):
                self._news.put((self, connection.recv()))
        self._news.put((self, None))
