"""How a worker process says how far its job is: in a file of its own, which nothing waits for."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from benchmark.advance import Advance

_SECONDS = 0.2
"""At least this long from one writing to the next, so that training is not slowed."""

_SUFFIX = ".progress"


class ProgressFile:
    """The file of this process.

    Args:
        folder: The scratch folder of the executor.
        job: The name of the job that is carried out.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self._path = folder / f"{os.getpid()}{_SUFFIX}"
        self._job = job
        self._next = 0.0

    def write(self, advance: Advance) -> None:
        """Write how far the job is, whole or not at all, unless that was done just now."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SECONDS
        copied = advance.copied()
        told = {"job": self._job, "fraction": copied.fraction, "curves": copied.curves}
        new = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk must not fail a run
            new.write_text(json.dumps(told))
            new.replace(self._path)

    def remove(self) -> None:
        """Say that the job has ended."""
        self._path.unlink(missing_ok=True)


def read_all(folder: Path) -> dict[str, Advance]:
    """Return how far the jobs are whose processes have such a file, by name."""
    found = {}
    for file in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError, ValueError):  # just removed
            told = json.loads(file.read_text())
            found[told["job"]] = Advance(told["fraction"], told["curves"])
    return found


def remove_all(folder: Path) -> None:
    """Remove what processes left that were killed."""
    for file in folder.glob(f"*{_SUFFIX}"):
        file.unlink(missing_ok=True)
