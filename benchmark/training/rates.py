"""Learning rates while models train: torch's schedulers, made anew for each training."""

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
    """Return torch's scheduler, whose ``step`` is called after each step; ``None`` for no change.

    Args:
        settings: Of the schedule. Shares are of the rate that each parameter group has now.
        optimizer: Whose rates it changes.
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
    """Return the length of the schedule of one training, in steps; 0: it never changes the rate.

    Args:
        settings: Of the schedule.
        steps: Of the training, at most.
        warmup: Of these, before the schedule begins.
    """
    left = max(0, steps - warmup)
    if isinstance(settings, Constant) or left == 0:
        return 0
    return left if settings.steps is None else settings.steps


class LearningRates(SupervisedPlugin):
    """Changes the learning rate by a schedule while a model trains, after its warm-up.

    Each training (a model, a visit of one, or all at once) has a schedule of its own, over as many
    steps as that training may take. Rates are set before a step, so that all plugins see that
    step's own. Afterwards the full rates are back.

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
        """Note the full rates; the schedule begins with the first step after the warm-up."""
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
        """Return the state; the scheduler is made anew from it, for it holds functions."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what ``state_dict`` returned."""
        for name in _STATE:
            setattr(self, name, state[name])
        self._scheduler = None

    def _begun(self, optimizer: Optimizer, done: int) -> lr_scheduler.LRScheduler | None:
        """Make the scheduler as it is after some steps: after none, unless a run was resumed."""
        for group, full in zip(optimizer.param_groups, self._full, strict=True):
            group["lr"] = _copied(full)
        own = vars(optimizer).copy()
        made = make_scheduler(self._schedules[self._model], optimizer, self._length)
        # torch puts a function around the optimizer's step, only to warn: no checkpoint can have it
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
