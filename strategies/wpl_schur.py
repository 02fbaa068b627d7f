"""The weight plasticity loss as it was derived, with the full quadratic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from strategies.fisher import draw
from strategies.gauss_newton import GaussNewtonRoot
from strategies.schur_complement import ModelTerm, SchurPenalty
from strategies.settings import WPLSchurSettings
from strategies.sharing import SharedParameterPenalty, learning_rates
from strategies.sparse import dense_gradients, keep_sparse_


@dataclass
class _EarlierModel:
    """What is kept of a model: where it ended, and samples to linearise it at."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    samples: list[tuple[int, Tensor]]


class WPLSchur(SharedParameterPenalty):
    """Protect shared parameters by the Schur complement of the Fisher information (WPL).

    For each earlier model, of private parameters theta_1 and shared ones theta_s, that ended at
    theta*, the new model's loss has a term ``strength/2 * v^T Omega v`` with ``v = theta_s -
    theta_s*`` and::

        Omega = H_ss - H_s1 (H_11 + damping)^-1 H_1s      private: follows
        Omega = H_ss                                      private: fixed

    where H is the exact Fisher information with all its entries, over samples of that model's
    training data. ``v^T Omega v`` is the least rise of the earlier loss, to second order, that
    its private parameters can reach by following. What is shared follows from the new model's
    gradients; the earlier model's other parameters are its private ones. With two
    models ``strategies.WPL`` is the diagonal of ``fixed``.

    H has no more than samples * (classes - 1) directions. No strength freezes the others: in the
    limit the outputs on the samples are held, to first order, and nothing else, so that more
    samples protect more. And where these directions are fewer than the private parameters,
    which can then make up for all of them, Omega vanishes with the damping.

    Kept of each earlier model are its parameters and buffers and the samples' inputs, so that
    memory grows linearly with models; the solution while a model trains takes the square of
    models * samples * (classes - 1) numbers, see ``schur_complement.py``. It is found anew for
    each set of parameters that have gradients, and where the ratio of learning rates between
    parameter groups changes.

    Source: Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, equations 6 to 8
    and appendix, before the diagonal approximation.
    """

    Settings = WPLSchurSettings
    settings: WPLSchurSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._earlier: list[_EarlierModel] = []
        self._penalties: dict[tuple[bool, ...], SchurPenalty | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Linearised models cannot be copied, and are made again where they are missing.
        return {**vars(self), "_penalties": {}}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model."""
        super().before_training_exp(strategy)
        self._penalties = {}

    @torch.no_grad()
    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the penalty's gradient, where the penalty is applied as one."""
        self._note_gradients()
        if self.settings.application == "gradient" and self.settings.strength > 0:
            penalty = self._penalty(strategy, dict.fromkeys(learning_rates(strategy.optimizer), 1))
            if penalty:
                gradients = dense_gradients(penalty.parameters)
                torch._foreach_add_(gradients, penalty.gradient(), alpha=self.settings.strength)
                keep_sparse_(penalty.parameters, gradients)

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the proximal step, where the penalty is applied as one."""
        if self.settings.application == "proximal" and self.settings.strength > 0:
            rates = learning_rates(strategy.optimizer)
            scale = max(rates.values())
            if scale > 0:
                relative = {key: rate / scale for key, rate in rates.items()}
                penalty = self._penalty(strategy, relative)
                if penalty:
                    penalty.proximal_step_(self.settings.strength, scale)

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Keep the model's end and some of its samples."""
        if self.settings.strength == 0:
            return
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, _, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        self._earlier.append(
            _EarlierModel(
                parameters={name: p.detach().clone() for name, p in used.items()},
                buffers={name: b.clone() for name, b in strategy.model.named_buffers()},
                samples=[
                    (label, x[labels == label].to(strategy.device))
                    for label in sorted(set(labels.tolist()))
                ],
            )
        )

    def _penalty(self, strategy: Any, rates: dict[int, float]) -> SchurPenalty | None:
        """Return the penalty on what has a gradient now; built anew only when it must be."""
        key = tuple(self._with_gradient)
        known = self._penalties.get(key)
        if known and not _same(known, rates):
            del self._penalties[key]
        if key not in self._penalties:
            self._penalties[key] = self._build(strategy, rates)
        return self._penalties[key]

    def _build(self, strategy: Any, rates: dict[int, float]) -> SchurPenalty | None:
        earlier = {name for model in self._earlier for name in model.parameters}
        names = [n for n, p in self._parameters.items() if p.grad is not None and n in earlier]
        if not names:
            return None
        parameters: list[Tensor] = [self._parameters[name] for name in names]
        return SchurPenalty(
            parameters=parameters,
            terms=[
                self._term(strategy.model, model, names)
                for model in self._earlier
                if not model.parameters.keys().isdisjoint(names)
            ],
            rates=[rates.get(id(parameter), 0.0) for parameter in parameters],
            damping=self.settings.damping,
        )

    def _term(self, bank: nn.Module, earlier: _EarlierModel, names: list[str]) -> ModelTerm:
        """Return an earlier model's part, where ``names`` are those penalised now."""
        shared = [name for name in names if name in earlier.parameters]
        private = [name for name in earlier.parameters if name not in shared]
        state = {**earlier.parameters, **earlier.buffers}
        follows = private and self.settings.private == "follows"
        return ModelTerm(
            positions=[names.index(name) for name in shared],
            anchors=[earlier.parameters[name] for name in shared],
            shared=GaussNewtonRoot(bank, state, shared, earlier.samples),
            private=GaussNewtonRoot(bank, state, private, earlier.samples) if follows else None,
        )


def _same(penalty: SchurPenalty, rates: dict[int, float]) -> bool:
    """Whether the ratios of learning rates are still those that a penalty was built with."""
    now = [rates.get(id(parameter), 0.0) for parameter in penalty.parameters]
    # A schedule scales all groups alike, but for rounding.
    return all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(now, penalty.rates, strict=True))
