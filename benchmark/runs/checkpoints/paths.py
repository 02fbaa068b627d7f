"""The files of checkpoints, and when they are written. Importing this needs no torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from palimpsest.benchmark.suites.jobs import Job

SECONDS = 60.0
"""The time between checkpoints if no number of steps is given."""

SUFFIX = ".checkpoint"


@dataclass(frozen=True)
class CheckpointSettings:
    """The settings for the checkpoints of all jobs, as plain data that can be sent.

    Attributes:
        folder: The folder of the checkpoints; it need not exist.
        every: Optimizer steps between checkpoints, besides one after each model; ``None``: after a
            model, if ``seconds`` have passed since the last one.
        seconds: The shortest time between checkpoints if ``every`` is ``None``.
    """

    folder: Path
    every: int | None = None
    seconds: float = SECONDS

    @property
    def store(self) -> Path:
        """The store of these checkpoints, see ``checkpoints_folder``."""
        return self.folder.with_name(self.folder.name.removesuffix(f"{SUFFIX}s"))

    def of(self, job: Job) -> CheckpointFiles:
        """Return the files of a job's checkpoints."""
        more = f"+{len(job) - 1}" if len(job) > 1 else ""
        return CheckpointFiles(self.folder, f"{job[0].key}{more}")


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a job's checkpoints.

    Attributes:
        folder: Their folder.
        name: The prefix of their names: the key of the first run.
    """

    folder: Path
    name: str

    @property
    def between(self) -> Path:
        """The file for the state between two trainings."""
        return self.folder / f"{self.name}.between{SUFFIX}"

    @property
    def within(self) -> Path:
        """The file for the state within the training after that."""
        return self.folder / f"{self.name}.within{SUFFIX}"

    @property
    def has_within(self) -> bool:
        """Whether there is a state within a training; not if the folder cannot be read."""
        return os.path.exists(self.within)  # noqa: PTH110  # Path.exists would raise there

    def remove(self) -> None:
        """Remove both."""
        for path in (self.within, self.between):
            with contextlib.suppress(OSError):
                path.unlink()


def checkpoints_folder(store: Path) -> Path:
    """Return the folder of a store's checkpoints: ``STORE.checkpoints``."""
    place = Path(os.path.realpath(store))
    return place.with_name(f"{place.name}{SUFFIX}s")


def remove_checkpoints(folder: Path, keys: Collection[str]) -> None:
    """Remove the checkpoints of runs, and the folder if it is empty. Errors are ignored.

    Args:
        folder: The folder of the checkpoints.
        keys: Of the runs.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            key = path.name.lstrip(".").partition(".")[0].partition("+")[0]
            if key in keys and SUFFIX in path.name:
                with contextlib.suppress(OSError):
                    path.unlink()
        folder.rmdir()
