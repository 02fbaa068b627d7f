"""Plugins of a search: they set the architecture, the state and the learning rate of a visit."""

from __future__ import annotations

from typing import Any

import numpy as np
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.search.controller import Policy
from palimpsest.benchmark.search.plan import SearchPlan
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.search.supernets.supernet import Architecture, Space


class Sampling(SupervisedPlugin):
    """Draws the architectures of each epoch, and gives them to the slots, visit by visit.

    Each epoch has its own seed, so that its architectures depend on nothing else. With a policy,
    they are drawn by it, and it learns after each epoch.
    """

    def __init__(
        self, search: SearchPlan, bank: SupernetBank, seed: int, policy: Policy | None = None
    ) -> None:
        super().__init__()
        self._search = search
        self._bank = bank
        self._seed = seed
        self.policy = policy
        self._drawn: list[list[Architecture]] = []
        self._warm = False
        self._built = list(bank.architectures)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Draw, if an epoch begins, and give the visit's slots their architectures."""
        search = self._search
        if not search.shared:
            return
        moment = search.moment_of(strategy.step_clock.training)
        self._warm = moment.epoch is None
        if moment.epoch is None or moment.visit == 0:
            epoch = 0 if moment.epoch is None else bool(search.warm_start) + moment.epoch
            self._drawn = self._draw(
                np.random.default_rng(derive(self._seed, "scenario", 1 + epoch))
            )
        if not self._warm:
            self._stand_for(search.slot_of(moment.visit), self._drawn[moment.visit])

    def before_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """In a warm-start, go on to the next architecture."""
        if self._warm:
            self._stand_for(0, self._drawn[strategy.step_clock.step])

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Turn the mean of the losses of a step's architectures into their sum."""
        if self._search.width > 1 and not self._warm:
            strategy.loss = strategy.loss * self._search.width

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Reset the slots, as in runs that reuse a warm-start."""
        if self._warm:
            self._bank.architectures[:] = self._built

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Let the policy learn when an epoch has ended."""
        if self.policy is None or self._warm:
            return
        if self._search.moment_of(strategy.step_clock.training).visit == self._search.visits - 1:
            self.policy.learn(self._bank)

    def _stand_for(self, slot: int, architectures: list[Architecture]) -> None:
        self._bank.architectures[slot : slot + len(architectures)] = architectures

    def _draw(self, generator: np.random.Generator) -> list[list[Architecture]]:
        """Return the architectures of each visit of an epoch, or of each batch of a warm-start."""
        search, space = self._search, self._bank.space
        if self._warm:
            return [[space.sample(generator)] for _ in range(search.warm_steps)]
        if self.policy is not None:
            return [[each] for each in self.policy.draw(search.visits)]
        if search.width > 1:
            return [fair(space, generator) for _ in range(search.visits)]
        return [[space.sample(generator)] for _ in range(search.visits)]


def fair(space: Space, generator: np.random.Generator) -> list[Architecture]:
    """Return architectures that have every option of every decision once.

    All decisions of the space have the same number of options.
    """
    orders = [generator.permutation(count).tolist() for count in space.options]
    return [tuple(taken) for taken in zip(*orders, strict=True)]


class CarriedState(SupervisedPlugin):
    """Begins every training batch with the state at the end of the one before.

    It does so from visit to visit, too, that is from architecture to architecture, as the text goes
    on. The state is zero at the beginning of the text, and after a warm-start. An evaluation has a
    state of its own, which begins at zero for every architecture; any other pass through the
    network begins at zero, too.
    """

    def __init__(self, search: SearchPlan, bank: SupernetBank, batches: int) -> None:
        super().__init__()
        self._search = search
        self._bank = bank
        self._batches = batches
        self._trained: Tensor | None = None
        self._evaluated: Tensor | None = None

    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Set the state."""
        clock = strategy.step_clock
        if (self._search.first_batch_of(clock.training) + clock.step) % self._batches == 0:
            self._trained = None
        self._begin(strategy, self._trained)

    def after_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the state."""
        self._trained = self._end(strategy)

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Forget the state of a warm-start: runs that reuse a warm-start do not have it."""
        if self._search.moment_of(strategy.step_clock.training).epoch is None:
            self._trained = None

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Begin at zero."""
        self._evaluated = None

    def before_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Set the evaluation's own state."""
        self._begin(strategy, self._evaluated)

    def after_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep it."""
        self._evaluated = self._end(strategy)

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Forget it."""
        self._evaluated = None

    def _begin(self, strategy: Any, state: Tensor | None) -> None:
        self._supernet(strategy).begin = state

    def _end(self, strategy: Any) -> Tensor:
        supernet = self._supernet(strategy)
        end: Tensor = supernet.end
        supernet.begin = supernet.end = None
        return end

    def _supernet(self, strategy: Any) -> Any:
        return self._bank.supernet(strategy.experience.task_label)


class EpochDecay(SupervisedPlugin):
    """Lowers the learning rate of a search's later epochs while a visit trains."""

    def __init__(self, search: SearchPlan) -> None:
        super().__init__()
        self._search = search
        self._full: list[Any] = []

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Lower it."""
        share = self._search.rate_of(strategy.step_clock.training)
        self._full = [group["lr"] for group in strategy.optimizer.param_groups]
        for group in strategy.optimizer.param_groups:
            group["lr"] = group["lr"] * share

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Restore it."""
        for group, full in zip(strategy.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full
