"""What every penalty on shared parameters needs to know: which parameters a model uses.

The gradients tell. Parameters that have one in the current step are used by the current model;
those that had one while an earlier model trained were used by that one; the intersection is what
the models share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.functional import pad

from strategies import optimizer_metric
from strategies.likelihood import require_cross_entropy
from strategies.settings import PenaltySettings


class SharedParameterPenalty(SupervisedPlugin, ABC):
    """An Avalanche plugin that notes which parameters have gradients while a model trains.

    Args:
        **settings: See the class's ``Settings``; ``strength`` is the dial.

    Attributes:
        settings: The checked settings.
        models_seen: The number of trainings so far: models, or visits of them.
    """

    Settings: ClassVar[type[PenaltySettings]] = PenaltySettings
    needs_cross_entropy: bool = False
    """Whether importances are those of a classifier that is trained by cross-entropy."""
    clipped_with_loss: bool = False
    """Whether the program's clipping of gradients comes after the penalty's has been added."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = self.Settings(**settings)
        self.models_seen = 0
        self._parameters: dict[str, Parameter] = {}
        self._used: set[str] = set()
        self._with_gradient: list[bool] = []

    @abstractmethod
    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Keep what later penalties need to know about the model just trained.

        Args:
            strategy: The Avalanche strategy; its model, ``experience`` and
                ``adapted_dataset`` are those of the training that just ended.
            used: The parameters that had a gradient in this training, by name.
        """

    @abstractmethod
    def penalty(self, model: nn.Module) -> Tensor:
        """Return the penalty at a network's current weights, a scalar that autograd can follow.

        Args:
            model: Its parameters, by name, are those of the network that was trained. All that some
                earlier model used count, even if the current one does not use them.
        """

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model.

        Raises:
            ValueError: The penalty has to be solved in the metric of an optimizer whose metric is
                not known, or needs another loss than the training's.
        """
        if self.needs_cross_entropy:
            require_cross_entropy(strategy, type(self).__name__)
        if self.settings.application == "proximal" and self.settings.strength > 0:
            optimizer_metric.check(strategy.optimizer)
        self._parameters = dict(strategy.model.named_parameters())
        self._used = set()
        self._with_gradient = []

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep what later penalties need."""
        used = {name: self._parameters[name] for name in self._parameters if name in self._used}
        self.keep(strategy, used)
        self.models_seen += 1

    def _rates(self, optimizer: Any) -> list[float]:
        """Return the steps that the penalty is scaled by, one for each parameter group."""
        if self.settings.application == "proximal":
            return optimizer_metric.rates(optimizer)
        return optimizer_metric.learning_rates(optimizer)

    def _note_gradients(self) -> None:
        """Note which parameters have gradients; the list is replaced only when that changes."""
        now = [p.grad is not None for p in self._parameters.values()]
        if now != self._with_gradient:
            self._with_gradient = now
            names = zip(self._parameters, now, strict=True)
            self._used |= {name for name, has_gradient in names if has_gradient}


def fitted(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Return a tensor cropped to a shape, or padded with zeros: Avalanche's heads grow."""
    if tensor.shape == shape:
        return tensor
    growth = [new - old for new, old in zip(shape, tensor.shape, strict=True)]
    return pad(tensor, [side for size in reversed(growth) for side in (0, size)])
