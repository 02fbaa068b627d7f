"""Supermasks in superposition, where the model is given."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from strategies.hooks import Hooked
from strategies.mask_settings import SupSupSettings
from strategies.weight_masks import (
    MaskedLayer,
    add_masks,
    applied,
    copied,
    make_signed_constant,
    masked_layers,
    running_statistics,
)


class SupSup(Hooked):
    """Learn a mask for each model over random weights that never change (SupSup).

    Nothing of the network is trained. The weight W of each linear and convolutional layer is set to
    its initial signs times ``sqrt(2 / fan_in)``. A model learns a score S for each weight, and
    uses ``W * M``: M keeps the ``density`` of a layer's weights with the largest ``|S|``, or with
    ``rule: threshold`` those with S >= 0; gradients pass through M to S. When it has been trained,
    its masks are kept, a bit for each weight, and it is evaluated with them. So nothing is ever
    forgotten, and models share nothing that any of them has learned.

    It is given which model is evaluated. Heads that grow, normalisation, embeddings and biases stay
    as they were built (the authors' networks have no biases). Running statistics are each model's
    own, as in the paper: those at the end of its training are kept, too.

    Source: Wortsman et al., Supermasks in Superposition, NeurIPS 2020, sections 3.1 and 3.2, and
    its program, github.com/RAIVNLab/supsup.

    Args:
        **settings: See ``SupSupSettings``; ``density`` is the dial.

    Attributes:
        settings: The checked settings.
        masks: The packed masks of each model that has been trained, by layer.
        statistics: The running statistics at the end of its training, by name.
    """

    Settings: ClassVar[type[SupSupSettings]] = SupSupSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = self.Settings(**settings)
        self.masks: dict[int, dict[str, Tensor]] = {}
        self.statistics: dict[int, dict[str, Tensor]] = {}
        self._trains = False

    def before_train_dataset_adaptation(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note that a training begins, for which the model is adapted next."""
        self._trains = True

    def adapt(self, model: nn.Module, index: int) -> None:
        """Wrap the layers, and begin the scores of a model that is to train.

        Raises:
            ValueError: There is no layer that it can act on.
        """
        density = None if self.settings.rule == "threshold" else self.settings.density
        for layer in add_masks(model, density):
            if self.settings.weights == "constant":
                make_signed_constant(layer)
        layers = masked_layers(model)
        if not layers:
            raise ValueError(
                f"{type(self).__name__} masks the weights of linear layers and convolutions, and "
                "the network has none that it can wrap"
            )
        for name, parameter in model.named_parameters():
            if ".scores." not in f".{name}":
                parameter.requires_grad_(False)
        if self._trains:
            self._trains = False
            for place, layer in enumerate(layers.values()):
                layer.begin(index, np.random.SeedSequence([self.settings.seed, index, place]))
                self.begun(layer, index)

    def begun(self, layer: MaskedLayer, index: int) -> None:
        """Change the scores that a model begins with; by default nothing.

        Args:
            layer: One of the network's, with ``layer.scores[str(index)]``.
            index: The model to be trained.
        """

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the masks in place of the scores, and the running statistics."""
        index = int(strategy.experience.current_experience)
        layers = masked_layers(strategy.model)
        self.masks[index] = {name: layer.end() for name, layer in layers.items()}
        self.statistics[index] = copied(running_statistics(strategy.model))

    def evaluating(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        """Return a context with the masks and statistics of a model that has been trained."""
        layers = masked_layers(model).values()
        if index not in self.masks or any(layer.learns == index for layer in layers):
            return nullcontext()
        return applied(model, self.masks[index], self.statistics[index])
