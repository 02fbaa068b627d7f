"""What every penalty on shared parameters has: settings, steps and a value."""

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.likelihood import loss_in, require_cross_entropy
from palimpsest.strategies.base.used_parameters import NotesUse
from palimpsest.strategies.penalty import optimizer_metric
from palimpsest.strategies.penalty.settings import PenaltySettings


class SharedParameterPenalty(NotesUse):
    """A penalty on the parameters that the current model shares with earlier ones."""

    Settings = PenaltySettings
    settings: PenaltySettings
    needs_cross_entropy: bool = False
    """Whether importances are those of a classifier that is trained by cross-entropy."""
    clipped_with_loss: bool = False
    """Whether the program's clipping of gradients comes after the penalty's has been added."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)

    @abstractmethod
    def penalty(self, model: nn.Module) -> Tensor:
        """Return the penalty at a network's current weights, a scalar that autograd can follow.

        Args:
            model: Its parameters, by name, are those of the network that was trained. All that some
                earlier model used count, even if the current one does not use them.
        """

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a loss that the penalty does not know."""
        if self.needs_cross_entropy:
            require_cross_entropy(task.loss, type(self).__name__)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model.

        Raises:
            ValueError: The penalty has to be solved in the metric of an optimizer whose metric is
                not known, or needs another loss than the training's.
        """
        if self.needs_cross_entropy:
            require_cross_entropy(loss_in(strategy), type(self).__name__)
        if self.settings.application == "proximal" and self.settings.strength > 0:
            optimizer_metric.check(strategy.optimizer)
        super().before_training_exp(strategy)

    def _rates(self, optimizer: Any) -> list[float]:
        """Return the steps that the penalty is scaled by, one for each parameter group."""
        if self.settings.application == "proximal":
            return optimizer_metric.rates(optimizer)
        return optimizer_metric.learning_rates(optimizer)
