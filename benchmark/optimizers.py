"""From the settings of an optimizer to one, and the optimizer of each model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import nn

from benchmark.scenarios.settings import SGD, Adam, Optimizer, RMSprop


def make_optimizer(settings: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer that a scenario asks for, over all parameters of a model.

    It works on lists of tensors (``foreach``): the same numbers bit for bit, with fewer calls.
    """
    options = settings.model_dump(exclude={"name", "learning_rate"}) | {"foreach": True}
    classes: dict[type[Any], Callable[..., torch.optim.Optimizer]] = {
        SGD: torch.optim.SGD,
        Adam: torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam,
        RMSprop: torch.optim.RMSprop,
    }
    return classes[type(settings)](model.parameters(), lr=settings.learning_rate, **options)


class EachOptimizer(SupervisedPlugin):
    """Trains each model with its own optimizer, whose state is fresh or the last model's.

    Args:
        settings: The optimizer of each model; the strategy starts with the first one's.
        keep: Whether a model starts with what the optimizer knows of each parameter (momentum,
            second moment); parameters that no model trained before start fresh in any case.
    """

    def __init__(self, settings: Sequence[Optimizer], *, keep: bool) -> None:
        super().__init__()
        self._settings = list(settings)
        self._keep = keep
        self._current = self._settings[0]
        self._known: dict[Any, Any] = {}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Change the optimizer where the model's is another one, and give it what is kept."""
        wanted = self._settings[strategy.experience.current_experience]
        if wanted != self._current:
            strategy.optimizer = make_optimizer(wanted, strategy.model)
            self._current = wanted
        if self._known:
            groups = strategy.optimizer.state_dict()["param_groups"]
            strategy.optimizer.load_state_dict({"state": self._known, "param_groups": groups})

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note what the optimizer knows, before Avalanche clears it for the next model."""
        if self._keep:
            self._known = strategy.optimizer.state_dict()["state"]
