"""What a worker process does: it gets jobs through a pipe, and answers with news and records."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from palimpsest.benchmark import plugins
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.jobs import Job

Message = Literal["ready"] | UserError | JobProgress | list[Record]
"""What a worker sends: that it is ready for its first job, or why it never will be; how far its job
is; the job's result."""

PREPARATION = "palimpsest.benchmark.executors.local.worker_process"

_END_WITH_PARENT = 1
"""Linux's number of the request for a signal when the parent ends (``PR_SET_PDEATHSIG``)."""

_SECONDS = 0.2
"""At least this long from one message to the next, so that training is not slowed."""


def serve(
    connection: Connection,
    root: Path,
    scratch: Path | None,
    known: plugins.Loaded,
    checkpoints: CheckpointSettings | None = None,
) -> None:
    """Carry out jobs until the connection is closed.

    Args:
        connection: Where jobs come from, and ``Message`` go to.
        root: The folder that holds the data sets.
        scratch: The folder through which workers share files, or ``None``.
        known: The plugins that are loaded where the jobs come from.
        checkpoints: Of the jobs, or ``None``.
    """
    _end_with_fork_server()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        prepare(scratch, known)
    except UserError as error:
        connection.send(error)
        return
    with contextlib.suppress(EOFError, ConnectionError):  # nobody listens any more
        connection.send("ready")
        while True:
            job: Job = connection.recv()
            records = execute(job, root, scratch, seldom(connection.send), checkpoints)
            connection.send(records)


def print_to_errors() -> None:
    """Let what a plugin prints go where errors go: the command's own output is not for it."""
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # else it is lost when the worker is ended


def prepare(scratch: Path | None, known: plugins.Loaded) -> None:
    """Make this process ready for jobs.

    Raises:
        UserError: There is not enough memory, or a plugin cannot be loaded.
    """
    print_to_errors()
    prepared = importlib.import_module(PREPARATION)  # done already where there is a fork server
    if prepared.refused:
        raise UserError(prepared.refused)
    from palimpsest.benchmark.data.sharing import share_through

    share_through(scratch)
    plugins.load_again(known)


def execute(
    job: Job,
    root: Path,
    scratch: Path | None,
    progress: Callable[[JobProgress], None],
    checkpoints: CheckpointSettings | None = None,
) -> list[Record]:
    """Carry out a job, and leave nothing of it in memory."""
    from palimpsest.benchmark.runs.runner import execute_job

    records = execute_job(job, root, scratch, progress, checkpoints)
    # Scenario and strategy refer to each other: without this, the tensors of several runs would
    # stay in memory, gigabytes where every model has data of its own.
    gc.collect()
    return records


def seldom(
    send: Callable[[JobProgress], None], seconds: float = _SECONDS
) -> Callable[[JobProgress], None]:
    """Return what sends a copy of the progress, unless it has done so in the last seconds.

    What has a message is sent at once.
    """
    due = 0.0

    def tell(job_progress: JobProgress) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or job_progress.message:
            due = now + seconds
            send(job_progress.copied())

    return tell


def _end_with_parent() -> None:
    """End with the parent: where it was killed, nothing else would end this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _end_with_fork_server() -> None:
    """Let the system end this process with the fork server, which ends with the parent.

    A process that has been stopped (SIGSTOP) does not see its parent end, but can be killed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        # Every process that holds this keeps the fork server alive.
        server: Any = forkserver._forkserver
        if getattr(server, "_forkserver_alive_fd", None) is not None:
            os.close(server._forkserver_alive_fd)
            server._forkserver_alive_fd = None
