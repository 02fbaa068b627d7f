"""What a strategy may do beside watching a training: optional hooks, for methods of other kinds.

A penalty gets along with Avalanche's callbacks. Masks, adapters, posteriors and merged weights ask
for more. A strategy that derives from ``Hooked`` has such hooks called, in any Avalanche program
and in the harness alike; it defines those it needs:

=============================  ====================================================================
``adapt(model, index)``        Give the model what the method trains: masks, adapters, posteriors.
``optimizer(parameters)``      Make the optimizer: an update rule of the method's own.
``evaluating(model, index)``   A context in which model ``index`` is evaluated: with its mask, with
                               merged weights, as an average over samples.
``turn(value)``                Set the dial, where it acts after training (see ``Dial``).
=============================  ====================================================================

``index`` is the number of the experience, counted from 0, that the model learns. Strategies
without hooks are plain plugins, and nothing here is called for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, runtime_checkable

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import nn


@runtime_checkable
class Adapts(Protocol):
    """A strategy that changes the model."""

    def adapt(self, model: nn.Module, index: int) -> None:
        """Give the model what the method needs, in place.

        Called before every training, when Avalanche has grown the model and before the optimizer
        takes its parameters; again before an evaluation in which the model has grown. What is
        there already must stay as it is, so that adapting twice is adapting once. The first
        evaluation, before anything is trained, sees the model as it was built.

        Args:
            model: The whole network, with all models that share it.
            index: The model that is to be trained or evaluated.
        """


@runtime_checkable
class Optimizes(Protocol):
    """A strategy that has an update rule of its own."""

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of the training that begins, in place of the program's.

        Args:
            parameters: All of the model, as ``adapt`` left it. Those that the training does not
                use have no gradient.
        """


@runtime_checkable
class Evaluates(Protocol):
    """A strategy whose models are evaluated otherwise than they stand after training."""

    def evaluating(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        """Return a context in which the network is model ``index``; afterwards it is as before.

        Entered for each experience that is evaluated, between and after trainings, also in the
        middle of one (curves, early stopping), where the model in training has to be as it stands.

        Args:
            model: The whole network, in evaluation mode.
            index: The model that is asked for; it need not have been trained yet.
        """


@runtime_checkable
class Turns(Protocol):
    """A strategy whose dial acts after training."""

    def turn(self, value: float) -> None:
        """Set the dial: what is evaluated from now on is evaluated at this value.

        Args:
            value: Of the dial; trainings must not depend on it.
        """


class Hooked(SupervisedPlugin):
    """Calls the hooks that a subclass defines from Avalanche's callbacks.

    A subclass that overrides one of the callbacks here calls ``super()``. In front of another base
    class it adds hooks to that one: ``class Mine(Hooked, Regularizer)``.

    Where an evaluation raises, its context is left by the harness at once, elsewhere by the next
    training or evaluation; ``leave`` does so earlier.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._shapes: dict[str, torch.Size] | None = None
        self._given_optimizer: torch.optim.Optimizer | None = None
        self._context: ExitStack | None = None

    def before_training(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Leave the context of an evaluation that raised."""
        self.leave()
        super().before_training(strategy, *arguments, **keywords)

    def after_train_dataset_adaptation(
        self, strategy: Any, *arguments: Any, **keywords: Any
    ) -> None:
        """Adapt the model, before Avalanche asks it for its parameters."""
        super().after_train_dataset_adaptation(strategy, *arguments, **keywords)
        if self._given_optimizer is not None:  # Avalanche keeps account of that one's parameters
            strategy.optimizer, self._given_optimizer = self._given_optimizer, None
        if isinstance(self, Adapts):
            if strategy.optimized_param_id is None:  # Avalanche wants to know them before they grow
                strategy.make_optimizer(reset_optimizer_state=True)
            strategy.model = strategy.model_adaptation()
            self._adapt(strategy)

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Put the strategy's own optimizer in the place of the program's."""
        if isinstance(self, Optimizes):
            self._given_optimizer = strategy.optimizer
            strategy.optimizer = self.optimizer(strategy.model.parameters())
        super().before_training_exp(strategy, *arguments, **keywords)

    def before_eval_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Enter the context in which a model is evaluated."""
        super().before_eval_exp(strategy, *arguments, **keywords)
        self.leave()
        adapted = self._shapes is not None
        if isinstance(self, Adapts) and adapted and self._shapes != _shapes(strategy.model):
            self._adapt(strategy)
        if isinstance(self, Evaluates) and (adapted or not isinstance(self, Adapts)):
            context = ExitStack()
            context.enter_context(self.evaluating(strategy.model, _index(strategy)))
            self._context = context

    def after_eval_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Leave the context."""
        self.leave()
        super().after_eval_exp(strategy, *arguments, **keywords)

    def leave(self) -> None:
        """Leave the context of an evaluation; nothing where there is none."""
        context, self._context = self._context, None
        if context is not None:
            context.close()

    def _adapt(self, strategy: Any) -> None:
        assert isinstance(self, Adapts)
        self.adapt(strategy.model, _index(strategy))
        strategy.model = strategy.model.to(strategy.device)
        self._shapes = _shapes(strategy.model)


def _index(strategy: Any) -> int:
    return int(strategy.experience.current_experience)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    """What a model that grows changes."""
    return {name: parameter.shape for name, parameter in model.named_parameters()}
