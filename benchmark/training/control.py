"""Plugins that control training: warm-up, clipping, limits, a stop where numbers are not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from palimpsest.benchmark.training.clock import StepClock
from palimpsest.benchmark.training.evaluation import evaluate
from palimpsest.strategies.base.diverged import DivergedError


class Warmup(SupervisedPlugin):
    """Raise the learning rate linearly over the first steps of each model.

    ``lr * (step + 1) / warmup`` for step < warmup, counted from 0; then lr.

    Args:
        steps: Length of each model's warm-up; 0 for none.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        super().__init__()
        self._lengths = list(steps)
        self._length = 0
        self._full: list[float] = []

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Start again."""
        self._length = self._lengths[strategy.step_clock.model]
        self._full = [group["lr"] for group in strategy.optimizer.param_groups]

    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Set the step's learning rate."""
        step = strategy.step_clock.step
        if step < self._length:
            self._scale(strategy, (step + 1) / self._length)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Restore the full rate, also if training ended before the warm-up did."""
        self._scale(strategy, 1.0)

    def _scale(self, strategy: Any, factor: float) -> None:
        for group, full in zip(strategy.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full * factor


class ClipGradient(SupervisedPlugin):
    """Scale the gradient down where it is too long, by torch's ``clip_grad_norm_``.

    Strategies observe the loss's gradient as it is (``after_backward``), it is clipped, and then
    they add a penalty's gradient (``before_update``).

    Args:
        norm: The largest Euclidean norm over all parameters.
    """

    def __init__(self, norm: float) -> None:
        super().__init__()
        self._norm = norm

    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Clip."""
        nn.utils.clip_grad_norm_(strategy.model.parameters(), self._norm)


class ClipPenalisedGradient(ClipGradient):
    """The same, of the sum of the loss's gradient and what the strategy has added to it."""


class StepLimit(SupervisedPlugin):
    """Stop an Avalanche strategy, which counts epochs, at the limit of its step clock."""

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Stop at the limit."""
        if strategy.step_clock.step >= strategy.step_clock.limit:
            strategy.stop_training()


class TrainingMonitor(SupervisedPlugin):
    """Report progress, and end a run whose numbers are no longer finite.

    Args:
        progress: Called with the fraction of the training of all models that is done.
        every: Steps between two reports (each waits for the device).
    """

    def __init__(self, progress: Callable[[float], None], every: int = 50) -> None:
        super().__init__()
        self._progress = progress
        self._every = every
        self._loss: Tensor | None = None
        self._largest: Tensor | None = None

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Start to sum the losses of a training."""
        self._loss = torch.zeros(1, device=strategy.device)

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Sum the loss, on the device."""
        self._loss += strategy.loss.detach()

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Check the sum every ``every`` steps."""
        clock = strategy.step_clock
        # Visits may be shorter than ``every``.
        if (clock.step if clock.visit is None else clock.total) % self._every == 0:
            self._check_loss(strategy)
            self._progress(clock.fraction)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Check the sum and the parameters."""
        self.require_finite(strategy)
        self._loss = None

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Forget earlier outputs."""
        self._largest = None

    def after_eval_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the largest output of the evaluation."""
        # NaN wins; -inf in the place of a class that is left out does not.
        largest = strategy.mb_output.max()
        before = largest if self._largest is None else self._largest
        self._largest = torch.maximum(before, largest)

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Refuse outputs of which the largest one means nothing.

        Raises:
            DivergedError: One is NaN or infinite.
        """
        if self._largest is None or self._largest.isfinite():
            return
        told = f"outputs of model {strategy.experience.current_experience + 1} are NaN or infinite"
        clock = strategy.step_clock
        if clock.model is None:
            raise DivergedError(f"{told} before any training; look at its network")
        raise DivergedError(
            f"{told} after step {clock.step} of model {clock.model + 1}; a smaller learning rate, "
            "strength or scale may help"
        )

    @property
    def is_training(self) -> bool:
        """Whether a training has begun and not ended."""
        return self._loss is not None

    def require_finite(self, strategy: Any) -> None:
        """Refuse numbers that are not finite.

        Raises:
            DivergedError: The sum of the losses so far is none, or a parameter.
        """
        self._check_loss(strategy)
        for name, parameter in strategy.model.named_parameters():
            if not parameter.isfinite().all():
                raise DivergedError(
                    f"parameter {name} is NaN or infinite after {_where(strategy.step_clock)}"
                )

    def _check_loss(self, strategy: Any) -> None:
        if self._loss is not None and not self._loss.isfinite().all():
            raise DivergedError(
                f"the loss became NaN or infinite by {_where(strategy.step_clock)}; a smaller "
                "learning rate or strength, or application: proximal, may help"
            )


def _where(clock: StepClock) -> str:
    visit = "" if clock.visit is None else f" in visit {clock.visit}"
    return f"step {clock.step} of model {(clock.model or 0) + 1}{visit}"


class StopAtTarget(SupervisedPlugin):
    """Stop a model's training once it reaches an accuracy on the validation split.

    Args:
        targets: The accuracy for each model, or ``None`` to train all its steps.
        validation: The validation experiences.
        **arguments: For Avalanche's data loader.
    """

    def __init__(
        self, targets: Sequence[float | None], validation: Sequence[Any], **arguments: Any
    ) -> None:
        super().__init__()
        self._targets = targets
        self._validation = validation
        self._arguments = arguments

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure after every step of a model that has a target."""
        model = strategy.step_clock.model
        target = self._targets[model]
        if target is not None:
            reached = evaluate(strategy, [self._validation[model]], **self._arguments)[0]
            if reached >= target:
                strategy.stop_training()


class SeenOutputs(SupervisedPlugin):
    """Leaves later classes out of the training's loss, so that their outputs are not trained yet.

    A softmax over all outputs of a class-incremental head pushes those of later classes down before
    these come. Here the loss takes the first outputs alone, up to the largest class of the
    experience: the classes of a scenario are numbered in the order in which they come. Methods of
    ours that train on stored samples by passes of their own (``der``) are asked to cut those, too,
    and importances are those of a model without these outputs; what others add so (``lwf`` unless
    it is told otherwise, Avalanche's classes) is not cut.

    Source: the "active classes" of van de Ven & Tolias, Three scenarios for continual learning,
    2019.
    """

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Count the outputs of the classes so far."""
        self._count = 1 + max(map(int, strategy.adapted_dataset.targets.uniques))

    def after_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Cut the outputs of later classes off."""
        strategy.mb_output = self.cut_outputs(strategy.mb_output)

    def cut_outputs(self, outputs: Tensor) -> Tensor:
        """Return outputs (N, ..., classes) of any pass without those of later classes."""
        return outputs[..., : self._count]
