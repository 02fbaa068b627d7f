"""The code in a worker process: it receives jobs through a pipe, and sends progress and records."""

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
"""A worker's message: it is ready for its first job, or why it cannot be; the progress of its job;
the result of its job."""

PREPARATION = "palimpsest.benchmark.executors.local.worker_process"

_END_WITH_PARENT = 1
"""Linux's ``PR_SET_PDEATHSIG``, which requests a signal when the parent ends."""

_SECONDS = 0.2
"""The shortest time between messages, so that training is not slowed down."""


def serve(
    connection: Connection,
    root: Path,
    scratch: Path | None,
    known: plugins.Loaded,
    checkpoints: CheckpointSettings | None = None,
) -> None:
    """Run jobs until the connection is closed.

    Args:
        connection: Receives jobs, and sends ``Message``.
        root: The folder that holds the data sets.
        scratch: The folder in which workers share files, or ``None``.
        known: The plugins that are loaded in the parent process.
        checkpoints: Of the jobs, or ``None``.
    """
    _end_with_fork_server()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        prepare(scratch, known)
    except UserError as error:
        connection.send(error)
        return
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has closed it
        connection.send("ready")
        while True:
            job: Job = connection.recv()
            records = execute(job, root, scratch, seldom(connection.send), checkpoints)
            connection.send(records)


def print_to_errors() -> None:
    """Redirect the output of plugins to stderr, since stdout is for the command's own output."""
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # output is not lost when the worker ends


def prepare(scratch: Path | None, known: plugins.Loaded) -> None:
    """Prepare this process for jobs.

    Raises:
        UserError: There is not enough memory, or a plugin cannot be loaded.
    """
    print_to_errors()
    prepared = importlib.import_module(PREPARATION)  # done already where there is a fork server
    if prepared.refused:
        raise UserError(prepared.refused)
    from palimpsest.benchmark.data.shared_data import share_through

    share_through(scratch)
    plugins.load_again(known)


def execute(
    job: Job,
    root: Path,
    scratch: Path | None,
    progress: Callable[[JobProgress], None],
    checkpoints: CheckpointSettings | None = None,
) -> list[Record]:
    """Run a job, and free its memory."""
    from palimpsest.benchmark.runs.runner import execute_job

    records = execute_job(job, root, scratch, progress, checkpoints)
    # Scenario and strategy refer to each other. Without this, the tensors of several runs would
    # stay in memory.
    gc.collect()
    return records


def seldom(
    send: Callable[[JobProgress], None], seconds: float = _SECONDS
) -> Callable[[JobProgress], None]:
    """Return a function that sends copies of progress, but not more often than this.

    Progress with a message is sent at once.
    """
    due = 0.0

    def send_seldom(job_progress: JobProgress) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or job_progress.message:
            due = now + seconds
            send(job_progress.copied())

    return send_seldom


def _end_with_parent() -> None:
    """End with the parent. If the parent is killed, nothing else would end this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _end_with_fork_server() -> None:
    """Let the system kill this process together with the fork server, which ends with the parent.

    A stopped process (SIGSTOP) does not see that its parent has ended, but can be killed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        # Every process that holds this keeps the fork server alive.
        server: Any = forkserver._forkserver
        if getattr(server, "_forkserver_alive_fd", None) is not None:
            os.close(server._forkserver_alive_fd)
            server._forkserver_alive_fd = None
