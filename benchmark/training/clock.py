"""The only counter of optimizer steps. All plugins of a training read it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from avalanche.training.plugins import SupervisedPlugin


class StepClock(SupervisedPlugin):
    """Counts the optimizer steps of each training. It is ``strategy.step_clock``.

    Args:
        steps: The maximum of optimizer steps of each training: of each model, or of each visit.

    Attributes:
        step: The number of completed steps in this training.
        training: The number of this training.
        visit: Likewise if models are trained in alternating visits; else ``None``.
        model: The current model; ``None`` before the first training.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        super().__init__()
        self._ends = [0, *accumulate(steps)]
        self.step = 0
        self.training = 0
        self.visit: int | None = None
        self.model: int | None = None

    @classmethod
    def attach(cls, strategy: Any, steps: Sequence[int]) -> None:
        """Give an Avalanche strategy a clock, as its first plugin."""
        strategy.step_clock = cls(steps)
        strategy.plugins.insert(0, strategy.step_clock)

    @property
    def limit(self) -> int:
        """The maximum of steps in this training."""
        return self._ends[self.training + 1] - self._ends[self.training]

    @property
    def total(self) -> int:
        """The steps of all trainings so far. Earlier trainings count with their maximum."""
        return self._ends[self.training] + self.step

    @property
    def fraction(self) -> float:
        """The completed fraction of all trainings, from 0 to 1."""
        return min(1.0, self.total / self._ends[-1])

    def before_training_exp(
        self, strategy: Any, *_: Any, visit: int | None = None, **__: Any
    ) -> None:
        """Begin a training."""
        self.model = int(strategy.experience.current_experience)
        self.training = self.model if visit is None else visit
        self.visit, self.step = visit, 0

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Count a step."""
        self.step += 1
