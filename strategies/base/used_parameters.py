"""Notes which parameters each model uses.

The gradients tell. Parameters that have one in the current step are used by the current model;
those that had one while an earlier model trained were used by that one; the intersection is what
the models share.
"""

from abc import ABC, abstractmethod
from typing import Any

from torch.nn import Parameter

from palimpsest.strategies.base.hooks import Configured
from palimpsest.strategies.base.likelihood import as_trained


class NotesUse(Configured, ABC):
    """An Avalanche plugin that notes which parameters have gradients while a model trains.

    A subclass calls ``note_gradients`` in every step.

    Attributes:
        models_seen: The number of trainings so far: models, or visits of them.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.models_seen = 0
        self._parameters: dict[str, Parameter] = {}
        self._used: set[str] = set()
        self._with_gradient: list[bool] = []

    @abstractmethod
    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Keep what later trainings need to know about the model just trained.

        Args:
            strategy: The Avalanche strategy; its model, ``experience`` and
                ``adapted_dataset`` are those of the training that just ended. Its model returns
                only the outputs that the training's loss took.
            used: The parameters that had a gradient in this training, by name.
        """

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model."""
        self._parameters = dict(strategy.model.named_parameters())
        self._used = set()
        self._with_gradient = []

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep what later trainings need."""
        used = {name: self._parameters[name] for name in self._parameters if name in self._used}
        with as_trained(strategy):
            self.keep(strategy, used)
        self.models_seen += 1

    def note_gradients(self) -> bool:
        """Note which parameters have gradients; return whether that has changed.

        The list is replaced only when it has.
        """
        now = [p.grad is not None for p in self._parameters.values()]
        if now == self._with_gradient:
            return False
        self._with_gradient = now
        names = zip(self._parameters, now, strict=True)
        self._used |= {name for name, has_gradient in names if has_gradient}
        return True
