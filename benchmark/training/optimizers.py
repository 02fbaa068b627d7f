"""Builds optimizers from their settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from palimpsest.benchmark.scenarios.settings.optimizers import (
    SGD,
    Adam,
    Optimizer,
    RMSprop,
    RoleDecay,
)


def make_optimizer(
    settings: Optimizer, model: nn.Module, shared: Collection[Tensor] = ()
) -> torch.optim.Optimizer:
    """Build the optimizer of a scenario, over all parameters of a model.

    It uses ``foreach``, which is faster and bit-identical, or ``fused`` for Adam if the settings
    ask for it, which rounds in another way.

    Args:
        settings: The optimizer's settings. If the weight decay depends on the role, shared and
            private parameters form a group each.
        model: Such as a model bank.
        shared: The parameters that an earlier model also used.
    """
    options = settings.model_dump(exclude={"name", "learning_rate", "weight_decay"})
    classes: dict[type[Any], Callable[..., torch.optim.Optimizer]] = {
        SGD: torch.optim.SGD,
        Adam: torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam,
        RMSprop: torch.optim.RMSprop,
    }
    groups = _groups(settings, model, shared)
    one_pass = "fused" in options
    return classes[type(settings)](
        groups, lr=settings.learning_rate, foreach=not one_pass, **options
    )


def _groups(
    settings: Optimizer, model: nn.Module, shared: Collection[Tensor]
) -> list[dict[str, Any]]:
    """Return the parameters, grouped by weight decay."""
    parameters, decay = list(model.parameters()), settings.weight_decay
    if not isinstance(decay, RoleDecay):
        return [{"params": parameters, "weight_decay": decay}]
    known = {id(parameter) for parameter in shared}
    roles = {
        decay.shared: [p for p in parameters if id(p) in known],
        decay.private: [p for p in parameters if id(p) not in known],
    }
    if len(roles) == 1:
        roles = {decay.private: parameters}
    return [{"params": own, "weight_decay": value} for value, own in roles.items() if own]


class EachOptimizer(SupervisedPlugin):
    """Trains each model with its own optimizer settings, and can keep the optimizer's state.

    Args:
        settings: The optimizer of each model; the strategy starts with the first one's.
        keep: Whether a model starts with the optimizer's earlier state of each parameter (momentum,
            second moment). New parameters always start without one.
    """

    def __init__(self, settings: Sequence[Optimizer], *, keep: bool) -> None:
        super().__init__()
        self._settings = list(settings)
        self._keep = keep
        self._current = self._settings[0]
        self._known: dict[Any, Any] = {}
        self._used: set[str] = set()

    @staticmethod
    def is_needed(settings: Sequence[Optimizer], *, keep: bool) -> bool:
        """Whether one optimizer, reset before each model, is not enough."""
        by_role = any(isinstance(own.weight_decay, RoleDecay) for own in settings)
        return keep or by_role or any(own != settings[0] for own in settings)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Change the optimizer if the model needs another one, and restore the kept state."""
        wanted = self._settings[strategy.experience.current_experience]
        if wanted != self._current or isinstance(wanted.weight_decay, RoleDecay):
            shared = [p for name, p in self._own(strategy).items() if name in self._used]
            strategy.optimizer = make_optimizer(wanted, strategy.model, shared)
            self._current = wanted
        strategy.optimizer.state.update(self._known)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the optimizer's state, before Avalanche clears it for the next model."""
        self._used |= self._own(strategy).keys()
        if self._keep:
            self._known = dict(strategy.optimizer.state)

    @staticmethod
    def _own(strategy: Any) -> dict[str, nn.Parameter]:
        """Return the parameters of the current model, by name."""
        found: dict[str, nn.Parameter] = strategy.model.parameters_of(
            strategy.experience.task_label
        )
        return found
