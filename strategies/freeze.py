"""Freezing: the limit of every penalty."""

from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class Freeze(SupervisedPlugin):
    """Keep every parameter as the first model that used it left it.

    The parameters that had a gradient while an earlier model trained are frozen. Their gradients
    are removed before each step, so that optimizer state and weight decay do not move them either.
    The running statistics of a normalisation layer are frozen, too, once an earlier model has
    changed them.

    Limits:
        With one head for all classes nothing is private, so nothing is learned after the first
        model. Features that are frozen early may be poor: the first model decides for all.
    """

    facts = Facts(
        name="freeze",
        summary="keep shared parameters as the first model that used them left them",
        source="the limit of every penalty",
        role="limit",
        color="#7a7a7a",
        keeps_statistics=True,
        ends_only=True,
        forgets_nothing=True,
        holds_for_good=True,
    )
    Settings = StrategySettings

    def __init__(self) -> None:
        super().__init__()
        self._frozen: set[str] = set()
        self._used: set[str] = set()
        self._still: set[str] = set()
        self._stopped: list[nn.Module] = []
        self._parameters: dict[str, nn.Parameter] = {}
        self._buffers: dict[str, Tensor] = {}

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return 0 for what a model has used."""
        return dict.fromkeys(self._frozen, 0.0)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note what is there, and which layers are frozen."""
        self._parameters = dict(strategy.model.named_parameters())
        self._buffers = {name: b.clone() for name, b in strategy.model.named_buffers()}
        modules = strategy.model.named_modules()
        self._stopped = [module for name, module in modules if name in self._still]

    def before_forward(self, *_: Any, **__: Any) -> None:
        """Stop the running statistics of frozen layers."""
        # In every step: Avalanche's evaluation in between may have put them into training mode.
        for module in self._stopped:
            module.training = False

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Remove the gradients of frozen parameters; note what this model uses."""
        for name, parameter in self._parameters.items():
            if name in self._frozen:
                parameter.grad = None
            elif parameter.grad is not None:
                self._used.add(name)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Freeze what the model used."""
        self._frozen |= self._used
        for name, buffer in strategy.model.named_buffers():
            if name not in self._buffers or not torch.equal(buffer, self._buffers[name]):
                self._still.add(name.rpartition(".")[0])
