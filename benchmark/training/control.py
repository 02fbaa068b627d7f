"""Plugins that control training: warm-up, clipping, limits, a check for finite numbers."""

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
        """Start the warm-up of a model."""
        self._length = self._lengths[strategy.step_clock.model]
        self._full = [group["lr"] for group in strategy.optimizer.param_groups]

    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Set the step's learning rate."""
        step = strategy.step_clock.step
        if step < self._length:
            self._scale(strategy, (step + 1) / self._length)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Restore the full rate, even if training ended during the warm-up."""
        self._scale(strategy, 1.0)

    def _scale(self, strategy: Any, factor: float) -> None:
        for group, full in zip(strategy.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full * factor


class ClipGradient(SupervisedPlugin):
    """Clip the norm of the gradient by torch's ``clip_grad_norm_``.

    Strategies see the gradient of the loss before it is clipped (``after_backward``), and add the
    gradient of a penalty afterwards (``before_update``).

    Args:
        norm: The maximal Euclidean norm over all parameters.
    """

    def __init__(self, norm: float) -> None:
        super().__init__()
        self._norm = norm

    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Clip."""
        nn.utils.clip_grad_norm_(strategy.model.parameters(), self._norm)


class ClipPenalisedGradient(ClipGradient):
    """Clip the sum of the loss's gradient and the strategy's own gradient."""


class StepLimit(SupervisedPlugin):
    """Stop an Avalanche strategy, which counts epochs, at the limit of its step clock."""

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Stop at the limit."""
        if strategy.step_clock.step >= strategy.step_clock.limit:
            strategy.stop_training()


class TrainingMonitor(SupervisedPlugin):
    """Reports progress, and ends a run whose numbers are no longer finite.

    Args:
        progress: Called with the completed fraction of the training of all models.
        every: Steps between two reports. Each report waits for the device.
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
        # The maximum is NaN if one output is; the -inf of a masked class does not count.
        largest = strategy.mb_output.max()
        before = largest if self._largest is None else self._largest
        self._largest = torch.maximum(before, largest)

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Refuse outputs that are not finite.

        Raises:
            DivergedError: An output is NaN or infinite.
        """
        if self._largest is None or self._largest.isfinite():
            return
        what = f"outputs of model {strategy.experience.current_experience + 1} are NaN or infinite"
        clock = strategy.step_clock
        if clock.model is None:
            raise DivergedError(f"{what} before any training; look at its network")
        raise DivergedError(
            f"{what} after step {clock.step} of model {clock.model + 1}; a smaller learning rate, "
            "strength or scale may help"
        )

    @property
    def is_training(self) -> bool:
        """Whether a training is active."""
        return self._loss is not None

    def require_finite(self, strategy: Any) -> None:
        """Refuse losses and parameters that are not finite.

        Raises:
            DivergedError: The sum of the losses so far, or a parameter, is not finite.
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
        targets: The accuracy for each model; ``None``: all steps are trained.
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
    """Excludes later classes from the training loss, so that their outputs are not trained yet.

    A softmax over all outputs of a class-incremental head pushes the outputs of later classes down
    before these classes appear. Here the loss uses only the outputs up to the largest class of the
    experience, since classes are numbered by appearance. Palimpsest's methods that train on stored
    samples in separate forward passes cut those outputs, too, and importances are estimated without
    the outputs of later classes. Other additional losses (of distillation by default, of
    Avalanche's classes) are not cut.

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
        """Cut off the outputs of later classes."""
        strategy.mb_output = self.cut_outputs(strategy.mb_output)

    def cut_outputs(self, outputs: Tensor) -> Tensor:
        """Return outputs (N, ..., classes) of any forward pass without those of later classes."""
        return outputs[..., : self._count]
