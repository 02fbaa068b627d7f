"""Starts worker processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import util
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.local import in_worker

_SAFE_PATH = "PYTHONSAFEPATH"

_PAUSES = (0.1, 0.5, 2.0)
"""Seconds between tries to start a process."""

_LONGEST = 104
"""The limit in bytes for a socket's path and its final byte: 108 on Linux, 104 elsewhere."""

_OF_PYTHON, _SOCKET = "pymp-12345678", "listener-12345678"
"""Names like those that Python chooses for its folder of sockets and a socket in it."""

_SHORT = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders for sockets if the path of the usual one is too long."""


def check_may_start() -> None:
    """Refuse to start workers if Python does not allow it in this process.

    Raises:
        UserError: Says why, and what to do.
    """
    process = multiprocessing.current_process()
    advice = "run everything in this process (workers=0)"
    if process.daemon:
        raise UserError(f"this process is a worker itself and may not start others; {advice}")
    if getattr(process, "_inheriting", False):
        raise UserError(
            "this program is being imported by a process that it starts itself; put its code "
            f'under if __name__ == "__main__", or {advice}'
        )


def context() -> ForkServerContext | SpawnContext:
    """Return the start method of this system."""
    if sys.platform != "linux":  # elsewhere, what torch loads may not survive a fork
        return multiprocessing.get_context("spawn")
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload([in_worker.PREPARATION])
    return forkserver


def start(process: BaseProcess) -> None:
    """Start a process, with a new fork server if the last one has just been killed.

    Raises:
        UserError: The system allows no more processes, or they cannot be started.
    """
    for pause in (*_PAUSES, None):
        try:
            _let_sockets_fit()
            with _without_main(), safe_path():
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
    """Start processes that do not import the main program.

    They do not need it, and without an ``if __name__ == "__main__"`` it would run again in each of
    them. Python imports the file of the module ``__main__`` in new processes.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Start processes without the working folder on their path.

    Python puts it before its own library, and files there may have any name (``random.py``). After
    the start, processes get the path of this one.
    """
    own = _SAFE_PATH not in os.environ
    if own:
        os.environ[_SAFE_PATH] = in_worker.PREPARATION
    try:
        yield
    finally:
        if own:
            del os.environ[_SAFE_PATH]


def _let_sockets_fit() -> None:
    """Choose a folder with a path that is short enough for the fork server's socket.

    Python makes one folder for sockets, in the folder for temporary files. No socket can be made if
    TMPDIR is too long, or if Python's folder has been removed.
    """
    config: Any = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    made = config.get("tempdir")
    if made is not None and Path(made).is_dir() and _fits(Path(made)):
        return
    config["tempdir"] = None
    with contextlib.suppress(FileNotFoundError):  # there is no folder for temporary files
        if _fits(Path(tempfile.gettempdir(), _OF_PYTHON)):
            return
    usual = tempfile.tempdir
    try:
        for folder in _SHORT:
            tempfile.tempdir = folder
            with contextlib.suppress(OSError):
                util.get_temp_dir()
                return
    finally:
        tempfile.tempdir = usual


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET)) < _LONGEST
