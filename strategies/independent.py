"""Independent training: the upper reference, nothing is shared."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.hooks import Hooked
from palimpsest.strategies.base.settings import StrategySettings

_State = dict[str, Tensor]


class Independent(Hooked):
    """Train each model by itself, from the initial weights, and keep a copy of it.

    Before a model trains, the network is restored to its initial state, or to where an earlier
    training of that model ended, and the optimizer's state is cleared. While model i is evaluated,
    its own copy is loaded (the initial state if it has not been trained yet). Memory grows by one
    network per model.

    Limits:
        It keeps a network per model and is told which experience is evaluated, so in class- and
        domain-incremental scenarios it knows more than a method may know. A reference, not a
        contender.
    """

    facts = Facts(
        name="independent",
        summary="share nothing: each model trained alone from the same initial weights",
        source="the upper reference",
        role="alone",
        color="#555555",
        memory="linear",
        told=True,
        keeps_statistics=True,
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        forgets_nothing=True,
    )
    Settings = StrategySettings

    def __init__(self) -> None:
        super().__init__()
        self._initial: _State = {}
        self._trained: dict[int, _State] = {}
        self._in_training: int | None = None

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Go back to the initial weights, or to the model's own."""
        super().before_training_exp(strategy, *arguments, **keywords)
        self._in_training = strategy.experience.current_experience
        _load(strategy.model, self._initial)
        self._initial = _copy(strategy.model)  # with what has grown since
        _load(strategy.model, self._trained.get(self._in_training, {}))
        strategy.optimizer.state = defaultdict(dict)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the trained model."""
        self._trained[strategy.experience.current_experience] = _copy(strategy.model)
        self._in_training = None

    @contextmanager
    def evaluating(self, model: nn.Module, index: int) -> Iterator[None]:
        """Load the model's own weights, unless it is the one being trained."""
        if index == self._in_training:
            yield
            return
        set_aside = _copy(model)
        _load(model, self._trained.get(index, self._initial))
        try:
            yield
        finally:
            _load(model, set_aside)


def _copy(model: nn.Module) -> _State:
    """Return a copy of a model's state; of what has several names, one."""
    own: dict[Tensor, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        own.setdefault(value, name)
    return {name: value.detach().clone() for value, name in own.items()}


@torch.no_grad()
def _load(model: nn.Module, state: _State) -> None:
    """Load a state; of heads that have grown since, as Avalanche's do, only the part it has."""
    for name, value in model.state_dict().items():
        if name in state:
            known = tuple(slice(0, size) for size in state[name].shape)
            value[known] = state[name]
