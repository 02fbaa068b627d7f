"""A learning rate that falls from epoch to epoch of a search."""

from __future__ import annotations

from typing import Any

from avalanche.training.plugins import SupervisedPlugin

from palimpsest.benchmark.search.settings import Search


class EpochDecay(SupervisedPlugin):
    """Lowers the learning rate while a visit trains, and restores it.

    Args:
        search: Says how far.
    """

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search
        self._full: list[Any] = []

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Lower it, of whichever optimizer trains."""
        share = self._search.rate_of(strategy.step_clock.training)
        self._full = [group["lr"] for group in strategy.optimizer.param_groups]
        for group in strategy.optimizer.param_groups:
            group["lr"] = group["lr"] * share

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Restore it."""
        for group, full in zip(strategy.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full
