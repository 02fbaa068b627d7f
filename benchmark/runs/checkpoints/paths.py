"""Where checkpoints are kept, and when they are due. Importing this needs no torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from palimpsest.benchmark.suites.jobs import Job

SECONDS = 60.0
"""From one checkpoint to the next where no number of steps is given."""

SUFFIX = ".checkpoint"


@dataclass(frozen=True)
class CheckpointSettings:
    """What is asked of the checkpoints of all jobs; plain data that goes wherever a job goes.

    Attributes:
        folder: Where they are kept; it need not exist.
        every: Optimizer steps from one to the next, besides one after each model; ``None``: after a
            model, if ``seconds`` have passed since the last one.
        seconds: See there.
    """

    folder: Path
    every: int | None = None
    seconds: float = SECONDS

    @property
    def store(self) -> Path:
        """The store that they belong to, see ``checkpoints_folder``."""
        return self.folder.with_name(self.folder.name.removesuffix(f"{SUFFIX}s"))

    def of(self, job: Job) -> CheckpointFiles:
        """Return where a job's are kept."""
        more = f"+{len(job) - 1}" if len(job) > 1 else ""
        return CheckpointFiles(self.folder, f"{job[0].key}{more}")


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a job.

    Attributes:
        folder: Where they are.
        name: What their names begin with: the key of the first run.
    """

    folder: Path
    name: str

    @property
    def between(self) -> Path:
        """The state between two trainings."""
        return self.folder / f"{self.name}.between{SUFFIX}"

    @property
    def within(self) -> Path:
        """The state within the training that begins there."""
        return self.folder / f"{self.name}.within{SUFFIX}"

    @property
    def has_within(self) -> bool:
        """Whether there is a state within a training; not where nobody may look."""
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
    """Remove the checkpoints of runs that need none any more, and the folder if it is empty.

    What cannot be removed stays.

    Args:
        folder: What ``checkpoints_folder`` returned.
        keys: Of the runs.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            key = path.name.lstrip(".").partition(".")[0].partition("+")[0]
            if key in keys and SUFFIX in path.name:
                with contextlib.suppress(OSError):
                    path.unlink()
        folder.rmdir()
