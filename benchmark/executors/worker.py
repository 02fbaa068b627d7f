"""A worker process as seen by the process that gives it jobs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType

from benchmark import plugins
from benchmark.advance import Advance
from benchmark.checkpoints.place import Checkpoints
from benchmark.errors import UserError
from benchmark.executors import in_worker
from benchmark.executors.control_groups import ControlGroups
from benchmark.executors.death import Death
from benchmark.executors.in_worker import Message
from benchmark.jobs import Job

_PATIENCE = 5.0
"""Seconds that the end of a process is waited for."""

_PAUSES = (0.1, 0.5, 2.0)
"""Seconds between tries to start a process."""

_FORK_SERVER_GONE = 255
"""The exit status that Python gives where nobody knows it."""


class Worker:
    """A process that carries out one job at a time.

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
        advance: How far that is.
        since: When that began, or else the process (``time.monotonic``).
        ready: Whether it has started.
    """

    def __init__(
        self,
        news: SimpleQueue[tuple[Worker, Message | None]],
        root: Path,
        scratch: Path | None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.job: Job | None = None
        self.advance = Advance(0.0)
        self.since = time.monotonic()
        self.ready = False
        self._news = news
        self._kills_before = ControlGroups().memory_kills()
        context = _context()
        self._connection, theirs = context.Pipe()
        arguments = (theirs, root, scratch, plugins.loaded(), checkpoints)
        self._process = context.Process(target=in_worker.serve, args=arguments)
        with theirs:
            _start(self._process)
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def begin(self, job: Job) -> bool:
        """Give it a job; return whether it is still there to take it."""
        try:
            self._connection.send(job)
        except OSError:
            return False
        self.job, self.advance, self.since = job, Advance(0.0), time.monotonic()
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

    def death(self) -> Death:
        """Return how the process has ended."""
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        self.end()  # where it only closed its connection, or nobody knows
        kills = ControlGroups().memory_kills()
        return Death(code, out_of_memory=kills > self._kills_before)

    def _listen(self) -> None:
        # What a job has started may hold the connection open when the process itself has ended.
        with contextlib.suppress(Exception), self._connection as connection:
            while connection in wait([connection, self._process.sentinel]):
                self._news.put((self, connection.recv()))
        self._news.put((self, None))


def check_may_start() -> None:
    """Refuse to start workers where Python cannot.

    Raises:
        UserError: Says why, and what to do.
    """
    process = multiprocessing.current_process()
    advice = "run everything in this process (workers=0)"
    if process.daemon:
        raise UserError(f"this process is a worker itself and may not start others; {advice}")
    if getattr(process, "_inheriting", False):
        raise UserError(
            "this program is being imported by a process that it starts itself; put what it does "
            f'under if __name__ == "__main__", or {advice}'
        )


def _context() -> ForkServerContext | SpawnContext:
    if sys.platform != "linux":  # elsewhere, what torch loads may not survive a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([in_worker.PREPARATION])
    return context


def _start(process: BaseProcess) -> None:
    """Start a process; where the fork server has just been killed, another one is started for it.

    Raises:
        UserError: The system allows no more processes, or they cannot be started.
    """
    for pause in (*_PAUSES, None):
        try:
            with _without_main():
                process.start()
            return
        except (EOFError, OSError) as error:
            if pause is None:
                raise UserError(
                    f"a worker process cannot be started ({error}); try fewer workers (--workers)"
                ) from error
            time.sleep(pause)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let processes start without importing the program that starts them.

    They need nothing from it, and without an ``if __name__ == "__main__"`` it would run again in
    each of them. Python decides by the module ``__main__`` what a new process imports.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
