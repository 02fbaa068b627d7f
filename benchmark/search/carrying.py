"""The state of recurrent supernets, handed on from batch to batch."""

from __future__ import annotations

from typing import Any

from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor

from palimpsest.benchmark.search.settings import Search
from palimpsest.benchmark.search.supernet_bank import SupernetBank


class CarriedState(SupervisedPlugin):
    """Begins every training batch with the state in which the one before it ended.

    Also from visit to visit, that is from architecture to architecture, as the text goes on. The
    state is zero where the text begins anew, and after a warm-start. An evaluation has a state of
    its own, which begins at zero with every architecture; any other pass through the network begins
    at zero, too.

    Args:
        search: The search.
        bank: Its slots, of recurrent supernets.
        batches: Of a pass over the training text.
    """

    def __init__(self, search: Search, bank: SupernetBank, batches: int) -> None:
        super().__init__()
        self._search = search
        self._bank = bank
        self._batches = batches
        self._trained: Tensor | None = None
        self._evaluated: Tensor | None = None

    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Hand the state over."""
        clock = strategy.step_clock
        if (self._search.first_batch_of(clock.training) + clock.step) % self._batches == 0:
            self._trained = None
        self._begin(strategy, self._trained)

    def after_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the state back."""
        self._trained = self._end(strategy)

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Leave nothing of a warm-start that a run does not have that takes it over."""
        if self._search.moment_of(strategy.step_clock.training).epoch is None:
            self._trained = None

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Begin at zero."""
        self._evaluated = None

    def before_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Hand the evaluation's own state over."""
        self._begin(strategy, self._evaluated)

    def after_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take it back."""
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
