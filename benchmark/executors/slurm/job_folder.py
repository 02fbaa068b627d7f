"""A folder in which a suite and its tasks on a cluster exchange jobs, progress and results.

It is ``STORE.slurm/NAME``, on a file system that all machines share. Only renames have to be
atomic::

    settings     of all tasks (pickled)
    owner        the process of the suite; touched while it is alive
    queue/N      a job that any task may take (pickled)
    taken/N@T    the same, taken by task T
    news/T       the progress of the jobs of task T (pickled)
    results/     KEY.json for each run that has ended, as rescued runs, then N for its job
    tasks/T      exists while task T is running
    end          there are no more jobs
    refused      why a task cannot run jobs

If the suite was killed, runs stay in ``results``. The next command moves them into the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palimpsest.benchmark.files.untrusted import content, parsed

_SUFFIX = ".slurm"
_GONE_SECONDS = 300.0
"""A suite that has not touched its folder for this time has ended."""

_PARTS = ("queue", "taken", "news", "results", "tasks")


class JobFolder:
    """One such folder.

    Args:
        folder: The folder; it exists if ``make`` has made it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"

    def make(self, settings: object) -> None:
        """Make the folder, owned by this process.

        Raises:
            OSError: It cannot be written.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)  # what is unpickled out of it is this user's
        for part in _PARTS:
            (self.folder / part).mkdir()
        owner = {"host": socket.gethostname(), "pid": os.getpid()}
        _write(self.folder / "owner", json.dumps(owner).encode())
        _write(self.folder / "settings", pickle.dumps(settings))

    def settings(self) -> Any:
        """Return the settings of ``make``."""
        return pickle.loads(content(self.folder / "settings"))

    def touch(self) -> None:
        """Show that the suite is alive."""
        with contextlib.suppress(OSError):
            os.utime(self.folder / "owner")

    def is_abandoned(self) -> bool:
        """Whether the suite has ended."""
        file = self.folder / "owner"
        try:
            touched = file.stat().st_mtime
        except OSError:
            return not file.exists()
        try:
            owner = parsed(content(file))
            if owner["host"] == socket.gethostname():
                os.kill(int(owner["pid"]), 0)
        except ProcessLookupError:
            return True
        except (OSError, ValueError, TypeError, LookupError, OverflowError):
            pass  # another user's process, or a damaged file: the time decides
        return time.time() - touched > _GONE_SECONDS

    def say(self, what: str, text: str = "") -> None:
        """Write the file ``end`` or ``refused``."""
        _write(self.folder / what, text.encode())

    def said(self, what: str) -> str | None:
        """Return the text of the file ``end`` or ``refused``, or ``None``."""
        try:
            return content(self.folder / what).decode()
        except OSError:
            return None

    def offer(self, number: int, job: object) -> None:
        """Put a job into the queue.

        Raises:
            OSError: It cannot be written.
        """
        _write(self.folder / "queue" / f"{number:08}", pickle.dumps(job))

    def waiting(self) -> int:
        """Return the number of queued jobs."""
        return len(_names(self.folder / "queue"))

    def withdraw(self) -> None:
        """Remove all jobs from the queue."""
        for name in _names(self.folder / "queue"):
            (self.folder / "queue" / name).unlink(missing_ok=True)

    def take(self, task: str) -> tuple[int, Any] | None:
        """Move a job from the queue to a task; return its number and the job."""
        for name in _names(self.folder / "queue"):
            mine = self.folder / "taken" / f"{name}@{task}"
            with contextlib.suppress(FileNotFoundError):  # another task was faster
                (self.folder / "queue" / name).rename(mine)
                return int(name), pickle.loads(content(mine))
        return None

    def taken(self) -> Iterator[tuple[int, str]]:
        """Yield the number of each job that a task has taken, and the task."""
        for name in _names(self.folder / "taken"):
            number, _, task = name.partition("@")
            yield int(number), task

    def give_back(self, task: str) -> None:
        """Put the jobs of a task into the queue again, since Slurm has restarted the task."""
        for number, holder in self.taken():
            if holder == task and not (self.results / f"{number:08}").exists():
                mine = self.folder / "taken" / f"{number:08}@{task}"
                mine.rename(self.folder / "queue" / f"{number:08}")

    def end_job(self, number: int, outcome: object) -> None:
        """Write the outcome of a job, after its runs have been written into ``results``."""
        _write(self.results / f"{number:08}", pickle.dumps(outcome))

    def ended(self) -> Iterator[tuple[int, Any]]:
        """Yield the number and the outcome of each ended job."""
        for name in _names(self.results):
            if name.isdigit():
                with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
                    yield int(name), pickle.loads(content(self.results / name))

    def forget(self, number: int, keys: list[str]) -> None:
        """Remove the files of an ended job, whose runs are in the store."""
        with contextlib.suppress(OSError):
            for key in keys:
                (self.results / f"{key}.json").unlink(missing_ok=True)
            (self.results / f"{number:08}").unlink(missing_ok=True)
            for other, task in self.taken():
                if other == number:
                    (self.folder / "taken" / f"{number:08}@{task}").unlink(missing_ok=True)

    def tell(self, task: str, news: object) -> None:
        """Write the progress of the jobs of a task."""
        with contextlib.suppress(OSError):
            _write(self.folder / "news" / task, pickle.dumps(news))

    def news(self) -> Iterator[Any]:
        """Yield the last progress of each task."""
        for name in _names(self.folder / "news"):
            with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
                yield pickle.loads(content(self.folder / "news" / name))

    @contextlib.contextmanager
    def at_work(self, task: str) -> Iterator[None]:
        """Mark a task as running."""
        mark = self.folder / "tasks" / task
        mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def forget_task(self, task: str) -> None:
        """Remove the mark of a task that was killed."""
        with contextlib.suppress(OSError):
            (self.folder / "tasks" / task).unlink(missing_ok=True)

    def tasks(self) -> list[str]:
        """Return the tasks that are marked as running."""
        return _names(self.folder / "tasks")

    def remove(self) -> None:
        """Remove the folder, unless runs are left in it."""
        if not any(self.results.glob("*.json")):
            shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()


def job_folders_beside(store: Path) -> list[JobFolder]:
    """Return the job folders of a store, of any suite."""
    beside = job_folders(store)
    return [JobFolder(folder) for folder in sorted(beside.glob("*")) if folder.is_dir()]


def job_folders(store: Path) -> Path:
    """Return the parent of a store's job folders."""
    place = Path(os.path.realpath(store))
    return place.with_name(place.name + _SUFFIX)


def abandoned_results(store: Path) -> list[Path]:
    """Return the result folders of killed suites."""
    return [
        job_folder.results
        for job_folder in job_folders_beside(store)
        if job_folder.results.is_dir() and job_folder.is_abandoned()
    ]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208  # names are enough
    except OSError:
        return []


def _write(path: Path, whole: bytes) -> None:
    """Write a file atomically."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    temporary.write_bytes(whole)
    temporary.replace(path)
