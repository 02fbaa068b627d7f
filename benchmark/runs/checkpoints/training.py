"""Saves the training of a job in checkpoints, and resumes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from palimpsest.benchmark.runs.checkpoints.decoding import UnfitError
from palimpsest.benchmark.runs.checkpoints.encoding import UnsavableError
from palimpsest.benchmark.runs.checkpoints.graph import Reference
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.checkpoints.state import CheckpointTaker, TrainingState
from palimpsest.benchmark.runs.checkpoints.storage import Checkpoint, RefusedError, load, save
from palimpsest.benchmark.runs.cost import peak_memory
from palimpsest.benchmark.runs.preparation import PreparedRun
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.suite import Run
from palimpsest.benchmark.training.template import InMemoryTraining


@dataclass
class EarlierCost:
    """The costs of a job before it was interrupted, up to its last checkpoint.

    Attributes:
        seconds: The time.
        memory: The peak, in bytes.
    """

    seconds: float = 0.0
    memory: int = 0

    def add(self, other: EarlierCost) -> None:
        """Add the costs of another training."""
        self.seconds += other.seconds
        self.memory = max(self.memory, other.memory)


class ResumableTraining:
    """A training with its checkpoints.

    Args:
        ready: The training, as it was built.
        job: Its runs.
        settings: Of the checkpoints; ``None``: there are none.
        earlier: Receives the costs before the interruption.
        notify: Called with a sentence for the user.
        clock: Returns seconds; for tests.
    """

    def __init__(
        self,
        ready: PreparedRun,
        job: Job,
        settings: CheckpointSettings | None,
        earlier: EarlierCost,
        notify: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ready = ready
        self._job = job
        self._settings = settings
        self._costs_before = earlier
        self._notify = notify
        self._clock = clock
        self._began = self._last = clock()
        self._earlier = 0.0
        self._before = 0
        self._token = ""
        self._saved_at = -1
        self._pending: Checkpoint | None = None
        if settings is None:
            return
        self._files = settings.of(job)
        self._state = TrainingState(
            ready.strategy,
            measurements=ready.measurements,
            experiences=[ready.scenario.train, ready.scenario.validation, ready.scenario.test],
        )
        self._built = self._state.reference()
        self._within = CheckpointTaker(self._state)
        stock = not isinstance(ready.strategy, InMemoryTraining)
        self._every = None if stock else settings.every
        if self._every is not None or self._files.has_within:
            ready.strategy.plugins.append(self._within)

    @property
    def is_within(self) -> bool:
        """Whether the next training is resumed between two steps."""
        return self._pending is not None

    def resume(self) -> int | None:
        """Restore the last checkpoint.

        Returns:
            The number of the next visit; ``None``: the training begins.

        Raises:
            UnfitError: A checkpoint does not fit; the training must not be used any more.
        """
        if self._settings is None:
            return None
        saved = self._load(self._files.between)
        if saved is None:
            return None
        self._go_to(saved, self._built)
        self._token, self._saved_at = saved.facts["token"], int(saved.facts["visit"])
        within = self._load(self._files.within)
        if within is not None and within.facts["of"] == self._token:
            self._pending = within
        return self._saved_at

    def before(self, number: int) -> None:
        """Save if a checkpoint is due, before a visit of the schedule or after the last one.

        Args:
            number: The visit's number, counted from 0.
        """
        if self._settings is None:
            return
        resume = None
        if number == self._saved_at:
            step = 0 if self._pending is None else self._pending.facts["step"]
            self._notify(f"{_name(self._job[0])}: goes on from {_where(number, step)}")
            resume = None if self._pending is None else self._resume_within
        elif self._is_due(number):
            self._save_between(number)
        self._before = self._steps_before(number)
        reachable = number == self._saved_at and self._is_due_within(number)
        self._within.next_training(self._after_step if reachable else None, resume)

    def after(self) -> None:
        """Note that a visit has ended."""
        self._pending = None

    def _steps_before(self, number: int) -> int:
        ends = self._ready.schedule.ends
        return ends[min(number, len(ends) - 1)]

    def _is_due(self, number: int) -> bool:
        """Whether to save between two trainings."""
        assert self._settings is not None
        if number == 0:
            return self._is_due_within(number)
        every = self._settings.every
        if every is None:
            return self._clock() >= self._last + self._settings.seconds
        if self._ready.schedule.order != "visits":
            return True
        since = self._steps_before(number + 1) - self._steps_before(max(0, self._saved_at))
        return since >= every

    def _is_due_within(self, number: int) -> bool:
        """Whether a checkpoint will be due within a training."""
        if self._every is None:
            return False
        done, end = self._steps_before(number), self._steps_before(number + 1)
        return (done // self._every + 1) * self._every < end

    def _save_between(self, number: int) -> None:
        token = token_hex(8)
        facts = {"visit": number, "token": token}
        if self._save(facts, self._built, self._files.between):
            self._token, self._saved_at = token, number

    def _after_step(self, strategy: Any, step: int, reference: Reference) -> None:
        """Save if a checkpoint is due within a training."""
        if self._every is not None and (self._before + step) % self._every == 0:
            self._save({"of": self._token, "step": step}, reference, self._files.within)

    def _save(self, facts: dict[str, Any], reference: Reference, path: Path) -> bool:
        """Save, and return whether it was possible."""
        if any(found.error is not None for found in self._ready.measurements):
            return False  # exceptions cannot be saved
        strategy, costs = self._ready.strategy, self._ready.costs
        reading = costs.reading(strategy)
        facts |= {
            "reference": reference.digest,
            "costs": reading,
            "seconds": self._earlier + self._clock() - self._began,
            "memory": max(self._costs_before.memory, peak_memory(self._job[0].spec.device)),
        }
        try:
            save(path, self._job, facts, self._state.saved(reference))
        except UnsavableError as reason:
            self._give_up(str(reason), path)
        except OSError as error:
            self._notify(
                f"{path.parent}: checkpoints cannot be written ({error.strerror or error}); runs "
                "go on without"
            )
        else:
            return True
        finally:
            self._last = self._clock()
            costs.set_reading(strategy, reading)
        return False

    def _give_up(self, reason: str, path: Path) -> None:
        """Stop saving states that cannot be saved."""
        self._every, what = None, "no checkpoints"
        if path == self._files.between:
            self._settings = None
        else:
            what = "checkpoints only after a model"
        self._notify(
            f"{self._job[0].strategy}: its runs have {what}: {reason}, which cannot be saved; a "
            "strategy can save itself with state_dict and load_state_dict"
        )

    def _load(self, path: Path) -> Checkpoint | None:
        try:
            return load(path, self._job)
        except RefusedError as reason:
            self._notify(f"{path}: this checkpoint is not used ({reason})")
            return None

    def _go_to(self, saved: Checkpoint, reference: Reference) -> None:
        """Restore a checkpoint and the clocks."""
        if saved.facts["reference"] != reference.digest:
            raise UnfitError("its training was built in another way")
        self._state.restore(saved.state, reference)
        self._ready.costs.set_reading(self._ready.strategy, saved.facts["costs"])
        self._costs_before.seconds += saved.facts["seconds"] - self._earlier
        self._costs_before.memory = max(self._costs_before.memory, saved.facts["memory"])
        self._earlier = saved.facts["seconds"]
        self._began = self._last = self._clock()

    def _resume_within(self, strategy: Any, reference: Reference) -> None:
        assert self._pending is not None
        self._go_to(self._pending, reference)


def _name(run: Run) -> str:
    strength = "" if run.strength is None else f" {run.strength:g}"
    return f"{run.scenario}, {run.strategy}{strength}, seed {run.seed}"


def _where(number: int, step: int) -> str:
    return f"training {number + 1}" + (f", step {step}" if step else "")
