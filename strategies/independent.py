"""Independent training: the upper reference, nothing is shared."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

_State = dict[str, Tensor]


class Independent(SupervisedPlugin):
    """Train each model by itself, from the initial weights, and keep a copy of it.

    Before a model trains, the network is put back to its initial state and the optimizer's
    state is cleared; while model i is evaluated, its own copy stands in (the initial state
    where it was not trained yet). Memory grows by one network a model.
    """

    def __init__(self) -> None:
        super().__init__()
        self._initial: _State = {}
        self._trained: dict[int, _State] = {}
        self._in_training: int | None = None
        self._set_aside: _State = {}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Go back to the initial weights."""
        _load(strategy.model, self._initial)
        self._initial = _copy(strategy.model)  # with what has grown since
        strategy.optimizer.state = defaultdict(dict)
        self._in_training = strategy.experience.current_experience

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the trained model."""
        self._trained[strategy.experience.current_experience] = _copy(strategy.model)
        self._in_training = None

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Put the model's own weights in, unless it is the one being trained."""
        model = strategy.experience.current_experience
        self._set_aside = {}
        if model != self._in_training:
            self._set_aside = _copy(strategy.model)
            _load(strategy.model, self._trained.get(model, self._initial))

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Put the weights back that were there before."""
        _load(strategy.model, self._set_aside)


def _copy(model: nn.Module) -> _State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def _load(model: nn.Module, state: _State) -> None:
    """Load a state; of heads that have grown since, as Avalanche's do, the part that was there."""
    for name, value in model.state_dict().items():
        if name in state:
            known = tuple(slice(0, size) for size in state[name].shape)
            value[known] = state[name]
