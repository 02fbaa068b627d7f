"""Freezing: the limit of every penalty."""

from __future__ import annotations

from typing import Any

from avalanche.training.plugins import SupervisedPlugin
from torch import nn


class Freeze(SupervisedPlugin):
    """Keep every parameter as the first model that used it left it.

    Frozen are the parameters that had a gradient while an earlier model trained. Their
    gradients are removed before each step, so that no optimizer state or weight decay moves
    them either; normalisation layers that are frozen keep their running statistics, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: set[str] = set()
        self._used: set[str] = set()
        self._parameters: dict[str, nn.Parameter] = {}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Stop the running statistics of the layers that are frozen."""
        self._parameters = dict(strategy.model.named_parameters())
        for prefix, module in strategy.model.named_modules():
            own = {f"{prefix}.{name}" for name, _ in module.named_parameters(recurse=False)}
            if own and own <= self._frozen:
                module.eval()

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Remove the gradients of what is frozen; note what this model uses."""
        for name, parameter in self._parameters.items():
            if name in self._frozen:
                parameter.grad = None
            elif parameter.grad is not None:
                self._used.add(name)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Freeze what the model used."""
        self._frozen |= self._used
