"""Optional hooks, for strategies that do more than watch a training.

Avalanche's callbacks are enough for a penalty. Masks, adapters, posteriors and merged weights need
more. For a strategy that derives from ``Hooked`` these hooks are called, in any Avalanche program
and in the harness alike; it defines those it needs:

==============================  ====================================================================
``adapt(model, index)``         Add to the model what the method trains: masks, adapters, variances.
``optimizer(parameters)``       Return the optimizer: the method's own update rule.
``evaluating(model, index)``    Return a context to evaluate model ``index`` in: with its mask, with
                                merged weights, as an average over samples.
``turn(value)``                 Set the dial, if it acts after training (see ``Dial``).
``free(model)``                 Return which share of each parameter later models can still change.
``sampled(model, index, ...)``  Return a context in which the network has weights drawn from the
                                method's posterior.
``check_network(model, ...)``   Refuse a network on which the method cannot act, before anything
                                trains.
==============================  ====================================================================

``index`` is the number of the experience, counted from 0, that the model learns. Strategies
without hooks are plain plugins, and nothing here is called for them. ``turn``, ``free``,
``sampled`` and ``check_network`` are called by the harness alone, of any plugin that has them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from palimpsest.strategies.base.settings import StrategySettings


@runtime_checkable
class Adapts(Protocol):
    """A strategy that changes the model."""

    def adapt(self, model: nn.Module, index: int) -> None:
        """Add what the method needs to the model, in place.

        Called before every training, after Avalanche has grown the model and before the optimizer
        takes its parameters; also before an evaluation for which the model has grown. It must leave
        alone what it has already added, so that adapting twice has no further effect. The first
        evaluation, before anything is trained, sees the model as it was built.

        Args:
            model: The whole network, with all models that share it.
            index: The model to be trained or evaluated.
        """


@runtime_checkable
class Optimizes(Protocol):
    """A strategy with its own update rule."""

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer for the training that begins, in place of the program's.

        Args:
            parameters: All parameters of the model, as ``adapt`` left it. Those that the training
                does not use have no gradient.
        """


@runtime_checkable
class Evaluates(Protocol):
    """A strategy whose models are evaluated in another state than training leaves them in."""

    def evaluating(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        """Return a context in which the network is model ``index``; it restores the network.

        Entered for each evaluated experience, between and after trainings, and also during one
        (curves, early stopping), when the model being trained has to be left in its current state.

        Args:
            model: The whole network, in evaluation mode.
            index: The requested model; it need not have been trained yet.
        """


@runtime_checkable
class Turns(Protocol):
    """A strategy whose dial acts after training."""

    def turn(self, value: float) -> None:
        """Set the dial: later evaluations are at this value.

        Args:
            value: The value; trainings must not depend on it.
        """


@runtime_checkable
class Capacity(Protocol):
    """A strategy that holds parameters back for good, so that its room for models is finite."""

    def free(self, model: nn.Module) -> Mapping[str, float]:
        """Return which share of each parameter a later model that uses it can still change.

        Asked after each training. An element counts as free if the strategy lets some later model
        change it, and by its share if steps of it are scaled; of a projection, the share of the
        directions that are left counts.

        Args:
            model: The whole network, as the training left it.

        Returns:
            Shares from 0 (nothing of it moves any more, to the bit) to 1 (all of it can), by names
            of ``model.named_parameters()``. What is left out is free.
        """


@runtime_checkable
class Samples(Protocol):
    """A strategy with a posterior: it knows how sure it is of its weights.

    Strategies without this hook have no posterior.
    """

    def sampled(
        self, model: nn.Module, index: int, generator: torch.Generator
    ) -> AbstractContextManager[None]:
        """Return a context in which the network has drawn weights; it restores the network.

        Entered once for each draw, in the context of ``evaluating`` if there is one, after a
        training has ended. The mean of the posterior is what the network has outside of it.

        Args:
            model: The whole network, in evaluation mode.
            index: The model that will be evaluated. The draw has to be right for all parameters
                that it uses; it may leave the others alone.
            generator: The only source of randomness, on the CPU. Two generators with equal states
                give the same weights.
        """


@dataclass(frozen=True)
class Task:
    """What is to be trained on a network.

    Attributes:
        samples: A few samples of each experience, (N, ...), with its task label.
        loss: The training's.
    """

    samples: Sequence[tuple[int, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class ChecksNetwork(Protocol):
    """A strategy that cannot act on every network."""

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network on which the method cannot act.

        Called once before anything trains, of a strategy that is not used afterwards.

        Args:
            model: A copy of the whole network, in evaluation mode, which it may change.
            task: What is to be trained.

        Raises:
            ValueError: It says what the method needs, and what to do.
        """


class Configured(SupervisedPlugin):
    """A plugin that is made from settings.

    Args:
        **settings: Those of the class's ``Settings``, by name; others have their defaults.

    Attributes:
        settings: The checked settings.
    """

    Settings: ClassVar[type[StrategySettings]] = StrategySettings

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = self.Settings(**settings)


class Hooked(SupervisedPlugin):
    """Calls the hooks that a subclass defines from Avalanche's callbacks.

    A subclass that overrides one of these callbacks has to call ``super()``. Put in front of
    another base class, it adds hooks to that class: ``class Mine(Hooked, Regularizer)``.

    If an evaluation raises, the harness leaves its context at once; in other programs the next
    training or evaluation does, or a call of ``leave``.

    Attributes:
        begins_training: Whether ``adapt`` is called for a training, and not for an evaluation.
    """

    begins_training = False

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
        if self._given_optimizer is not None:  # Avalanche tracks that one's parameters
            strategy.optimizer, self._given_optimizer = self._given_optimizer, None
        if isinstance(self, Adapts):
            if strategy.optimized_param_id is None:  # Avalanche needs them before they grow
                strategy.make_optimizer(reset_optimizer_state=True)
            strategy.model = strategy.model_adaptation()
            self.begins_training = True
            self._adapt(strategy)
            self.begins_training = False

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Replace the program's optimizer with the strategy's own."""
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
        """Leave the context of an evaluation, if there is one."""
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
    """The shapes of all parameters, which change when a model grows."""
    return {name: parameter.shape for name, parameter in model.named_parameters()}
