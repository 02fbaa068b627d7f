"""Which architecture each slot stands for while a search goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.search.policy import Policy
from palimpsest.benchmark.search.settings import Search
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.search.supernets.supernet import Architecture, Space


class Sampling(SupervisedPlugin):
    """Draws the architectures of each epoch, and lets the slots stand for them, visit by visit.

    Epochs have seeds of their own, so that what is drawn depends on nothing else.

    Args:
        search: The search.
        bank: Its slots.
        seed: The run's.
        policy: Draws in place of chance, and learns after each epoch; ``None`` if nobody does.

    Attributes:
        policy: The same.
    """

    def __init__(
        self, search: Search, bank: SupernetBank, seed: int, policy: Policy | None = None
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
        """Draw, if an epoch begins, and give the slots of the visit their architectures."""
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
        """In a warm-start: go on to the next architecture."""
        if self._warm:
            self._stand_for(0, self._drawn[strategy.step_clock.step])

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Turn the mean of the losses of a step's architectures into their sum."""
        if self._search.width > 1 and not self._warm:
            strategy.loss = strategy.loss * self._search.width

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Leave the slots as a run finds them that takes a warm-start over."""
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

    Args:
        space: Its decisions have as many options each.
        generator: Draws an order of the options of each decision.
    """
    orders = [generator.permutation(count).tolist() for count in space.options]
    return [tuple(taken) for taken in zip(*orders, strict=True)]
