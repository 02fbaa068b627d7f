"""Learning rates: torch's schedulers, with a new one for each training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from palimpsest.benchmark.scenarios.settings.learning_rates import (
    Constant,
    Cosine,
    LearningRateSchedule,
    Linear,
)


def make_scheduler(
    settings: LearningRateSchedule, optimizer: Optimizer, steps: int
) -> lr_scheduler.LRScheduler | None:
    """Return torch's scheduler; ``None`` if the rate is constant.

    Args:
        settings: Of the schedule. Its shares are relative to the current rate of each group.
        optimizer: The optimizer whose rates change.
        steps: The length of the schedule, 1 or more.
    """
    if isinstance(settings, Constant):
        return None
    if isinstance(settings, Cosine):
        final = settings.final  # CosineAnnealingLR has one final rate, for groups of any rates
        return lr_scheduler.LambdaLR(
            optimizer, lambda step: final + (1 - final) * (1 + math.cos(math.pi * step / steps)) / 2
        )
    if isinstance(settings, Linear):
        return lr_scheduler.LinearLR(optimizer, 1.0, settings.final, steps)
    moments = [max(1, round(share * steps)) for share in settings.at]
    return lr_scheduler.MultiStepLR(optimizer, moments, settings.factor)


def schedule_length(settings: LearningRateSchedule, steps: int, warmup: int) -> int:
    """Return the length of the schedule of one training, in steps; 0 for a constant rate.

    Args:
        settings: Of the schedule.
        steps: The maximum of steps in the training.
        warmup: The steps of these before the schedule begins.
    """
    left = max(0, steps - warmup)
    if isinstance(settings, Constant) or left == 0:
        return 0
    return left if settings.steps is None else settings.steps


class LearningRates(SupervisedPlugin):
    """Changes the learning rate by a schedule after the warm-up.

    Each training (of a model, of a visit, or of all models at once) has its own schedule, as long
    as the maximum of its steps. The rate is set before each step, so that all plugins see it. After
    the training, the full rates are restored.

    Args:
        schedules: Of each model.
        warmups: Steps of each model's warm-up.
    """

    def __init__(
        self,
        schedules: Sequence[LearningRateSchedule],
        warmups: Sequence[int],
    ) -> None:
        super().__init__()
        self._schedules = list(schedules)
        self._warmups = list(warmups)
        self._warmup = 0
        self._length = 0
        self._model = 0
        self._scheduler: lr_scheduler.LRScheduler | None = None
        self._full: list[float | Tensor] = []

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the full rates. The schedule begins with the first step after the warm-up."""
        clock = strategy.step_clock
        self._model = clock.model
        self._warmup = self._warmups[self._model]
        self._length = schedule_length(self._schedules[self._model], clock.limit, self._warmup)
        self._scheduler = None
        self._full = [_copied(group["lr"]) for group in strategy.optimizer.param_groups]

    def before_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Set the step's learning rate."""
        done = strategy.step_clock.step - self._warmup
        if done < 0 or not self._length or done > self._length:
            return
        if self._scheduler is None:
            self._scheduler = self._begun(strategy.optimizer, done)
        elif done:
            _move(self._scheduler)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Restore the full rates."""
        self._scheduler = None
        for group, full in zip(strategy.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full
            group.pop("initial_lr", None)

    def state_dict(self) -> dict[str, Any]:
        """Return the state without the scheduler, which holds functions and can be rebuilt."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the result of ``state_dict``."""
        for name in _STATE:
            setattr(self, name, state[name])
        self._scheduler = None

    def _begun(self, optimizer: Optimizer, done: int) -> lr_scheduler.LRScheduler | None:
        """Make the scheduler in its state after some steps (none, unless a run was resumed)."""
        for group, full in zip(optimizer.param_groups, self._full, strict=True):
            group["lr"] = _copied(full)
        own = vars(optimizer).copy()
        made = make_scheduler(self._schedules[self._model], optimizer, self._length)
        # torch wraps the optimizer's step, only to warn: no checkpoint can store the wrapper
        vars(optimizer).pop("step", None)
        vars(optimizer).update({"step": own["step"]} if "step" in own else {})
        if made is not None:
            for _ in range(done):
                _move(made)
        return made


_STATE = ("_warmup", "_length", "_model", "_full")


def _move(scheduler: lr_scheduler.LRScheduler) -> None:
    if scheduler.last_epoch:
        scheduler.step()
        return
    with warnings.catch_warnings():  # only the first step warns
        warnings.simplefilter("ignore")  # that the optimizer does not count its steps
        scheduler.step()


def _copied(rate: float | Tensor) -> float | Tensor:
    return rate.clone() if isinstance(rate, Tensor) else rate
