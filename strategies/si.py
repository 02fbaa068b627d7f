"""Synaptic intelligence."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import Positive
from palimpsest.strategies.base.sparse import dense_gradients
from palimpsest.strategies.penalty.regularizer import Regularizer
from palimpsest.strategies.penalty.settings import RegularizerSettings


@dataclass
class _Step:
    """The parameters of the current step, their values before it and their gradients."""

    with_gradient: list[bool]
    parameters: list[Tensor]
    paths: list[Tensor]
    before: list[Tensor]
    gradients: list[Tensor]


class SISettings(RegularizerSettings):
    """Settings of synaptic intelligence."""

    damping: Positive = Field(
        0.1,
        description="xi, added to the squared movement that the path integral is divided by.",
    )


class SI(Regularizer):
    """Protect parameters by how much they contributed to the decrease of the loss (SI).

    While a model trains, ``omega_i -= g_i * (theta_i after the step - theta_i before it)``
    integrates the loss's gradient g, without the penalty, along the actual movement, including
    the proximal step. Afterwards ``I_i <- max(0, I_i + omega_i / (Delta_i^2 +
    damping))`` with ``Delta_i`` the movement over the whole training, and the anchor is at the
    latest weights. The paper's surrogate loss is ``c * sum I (theta - theta*)^2``: its c is half
    our strength.

    Source: Zenke, Poole & Ganguli, Continual Learning Through Synaptic Intelligence, ICML
    2017, equations 3 to 5; the bound at 0 is in the authors' code.

    Limits:
        The importance depends on the path of training, not only on its end: on the optimizer, its
        learning rate and the noise of the batches. ``damping`` sets its scale, and with it that of
        the strength. Weights that were good from the start are not protected, since they did not
        move.
    """

    facts = Facts(
        name="si",
        summary="synaptic intelligence: path integral of the loss over training",
        source="Zenke, Poole & Ganguli, ICML 2017",
        dial=STRENGTH,
        color="#029e73",
        online=True,
    )
    Settings = SISettings
    settings: SISettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._path: dict[str, Tensor] = {}
        self._start: dict[str, Tensor] = {}
        self._step: _Step | None = None

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Start the path integral of a new model."""
        super().before_training_exp(strategy, *arguments, **keywords)
        self._path, self._step = {}, None
        self._start = {name: p.detach().clone() for name, p in self._parameters.items()}

    def observe_gradients(self) -> None:
        """Keep the loss's gradient and the parameters as they are before the step."""
        now = [p.grad is not None for p in self._parameters.values()]
        step = self._step
        if step is None or step.with_gradient != now:
            step = self._step = self._new_step(now)
        gradients = dense_gradients(step.parameters)
        torch._foreach_copy_(step.before, step.parameters)
        # Copied: the penalty, clipping or the optimizer (Nesterov) may change them in place.
        torch._foreach_copy_(step.gradients, gradients)

    @torch.no_grad()
    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the step's movement, including proximal steps, times the gradient to the path."""
        step = self._step
        if step is not None and step.parameters:
            torch._foreach_sub_(step.before, step.parameters)  # minus the movement
            torch._foreach_addcmul_(step.paths, step.before, step.gradients)

    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return ``omega_i / (Delta_i^2 + damping)`` of the training that just ended."""
        return {
            name: self._path[name]
            / ((parameter.detach() - self._start[name]).square() + self.settings.damping)
            for name, parameter in parameters.items()
        }

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new importance, bounded at 0, and move the anchor to the new weights."""
        if name in self.importances:
            importance = self.importances[name] + importance
        return importance.clamp_min(0), value

    def _new_step(self, with_gradient: list[bool]) -> _Step:
        used = {name: p for name, p in self._parameters.items() if p.grad is not None}
        for name, parameter in used.items():
            self._path.setdefault(name, torch.zeros_like(parameter))
        return _Step(
            with_gradient=with_gradient,
            parameters=list(used.values()),
            paths=[self._path[name] for name in used],
            before=[torch.empty_like(p) for p in used.values()],
            gradients=[torch.empty_like(p) for p in used.values()],
        )
