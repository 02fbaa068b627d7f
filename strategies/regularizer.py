"""The one mechanism under every importance-weighted penalty, as an Avalanche plugin.

A strategy says how important each parameter is when a model has been trained; this class
does the rest: it keeps importance and anchor, joins those of several models, and applies the
penalty while the next model trains (see ``strategies/quadratic.py`` for the arithmetic).

Which parameters are penalised follows from the gradients: those that have one in the current
step are used by the current model, those with an importance were used by an earlier one, and
their intersection is what the models share. A parameter without a gradient is never touched.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from strategies.quadratic import add_gradient_, proximal_step_, pull
from strategies.sharing import SharedParameterPenalty, fitted, learning_rates
from strategies.sparse import dense_gradients, keep_sparse_


@dataclass
class _Penalised:
    """What the penalty acts on while the same parameters have gradients."""

    with_gradient: list[bool]
    parameters: list[Tensor]
    anchors: list[Tensor]
    importances: list[Tensor]
    learning_rates: list[float]
    pulls: list[Tensor]


class Regularizer(SharedParameterPenalty):
    """A quadratic penalty on the parameters that the current model shares with earlier ones.

    ``strength/2 * sum_i I_i (theta_i - anchor_i)^2``. Subclasses implement ``estimate`` and,
    where more than two models are joined differently from a sum, ``consolidate``.

    Args:
        **settings: See the class's ``Settings``; ``strength`` is the dial.

    Attributes:
        settings: The checked settings.
        importances: I by parameter name, for parameters that some earlier model used.
        anchors: The values they are pulled to, by parameter name.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.importances: dict[str, Tensor] = {}
        self.anchors: dict[str, Tensor] = {}
        self._penalised: _Penalised | None = None

    @abstractmethod
    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the importance of the model just trained, of the parameters' shapes.

        Args:
            strategy: The Avalanche strategy; its model, ``experience`` and
                ``adapted_dataset`` are those of the training that just ended.
            parameters: The parameters that had a gradient in this training, by name.
        """

    @abstractmethod
    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Join a parameter's new importance with what is known of it.

        Args:
            name: The parameter; ``name in self.importances`` if an earlier model used it.
            importance: What ``estimate`` returned.
            value: The parameter's value now.

        Returns:
            The importance and the anchor from now on.
        """

    def observe_gradients(self) -> None:
        """See a step's gradients of the loss before the penalty's is added; nothing by default."""

    # Avalanche's callbacks, in the order in which they come.

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model."""
        super().before_training_exp(strategy)
        self._penalised = None
        for name in self.importances:
            self._fit_to_grown(name)

    @torch.no_grad()
    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the penalty's gradient, where the penalty is applied as one."""
        self._note_gradients()
        self.observe_gradients()
        if self.settings.application == "gradient" and self.settings.strength > 0:
            at = self._penalised_now(strategy)
            if at.parameters:
                gradients = dense_gradients(at.parameters)
                strength = self.settings.strength
                add_gradient_(gradients, at.parameters, at.anchors, at.importances, strength)
                keep_sparse_(at.parameters, gradients)

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the proximal step, where the penalty is applied as one."""
        if self.settings.application == "proximal" and self.settings.strength > 0:
            at = self._penalised_now(strategy)
            if at.parameters:
                proximal_step_(at.parameters, at.anchors, at.pulls)

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Estimate the importance for the model that was trained, and join it to the others."""
        for name, importance in self.estimate(strategy, used).items():
            value = used[name].detach().clone()
            self.importances[name], self.anchors[name] = self.consolidate(name, importance, value)

    def _penalised_now(self, strategy: Any) -> _Penalised:
        """Return the shared parameters of this step; built anew only when something changed."""
        rates = [group["lr"] for group in strategy.optimizer.param_groups]
        at = self._penalised
        if at and at.with_gradient is self._with_gradient and at.learning_rates == rates:
            return at
        shared = [
            name
            for name, parameter in self._parameters.items()
            if parameter.grad is not None and name in self.importances
        ]
        rate = learning_rates(strategy.optimizer)
        parameters: list[Tensor] = [self._parameters[name] for name in shared]
        importances = [self.importances[name] for name in shared]
        self._penalised = _Penalised(
            with_gradient=self._with_gradient,
            parameters=parameters,
            anchors=[self.anchors[name] for name in shared],
            importances=importances,
            learning_rates=rates,
            pulls=[
                pull(importance, rate.get(id(parameter), 0.0) * self.settings.strength)
                for parameter, importance in zip(parameters, importances, strict=True)
            ],
        )
        return self._penalised

    def _fit_to_grown(self, name: str) -> None:
        """Extend importance (by 0) and anchor to a parameter that grew, as Avalanche's heads do."""
        parameter = self._parameters.get(name)
        if parameter is None or parameter.shape == self.importances[name].shape:
            return
        anchor = parameter.detach().clone()
        anchor[tuple(slice(0, size) for size in self.anchors[name].shape)] = self.anchors[name]
        self.anchors[name] = anchor
        self.importances[name] = fitted(self.importances[name], parameter.shape)
