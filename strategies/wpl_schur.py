"""The weight plasticity loss as it was derived, with the full quadratic."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    replaced_forward,
)
from palimpsest.strategies.base.settings import Count, NonNegative, Positive
from palimpsest.strategies.base.sparse import changing_gradients
from palimpsest.strategies.curvature.fisher import draw
from palimpsest.strategies.curvature.gauss_newton import GaussNewtonRoot
from palimpsest.strategies.penalty import optimizer_metric
from palimpsest.strategies.penalty.schur_complement import Metric, ModelTerm, SchurPenalty
from palimpsest.strategies.penalty.settings import PenaltySettings
from palimpsest.strategies.penalty.shared_parameters import SharedParameterPenalty

_MEMORY = 0.9
"""Decay per step of the second moments of the penalty's gradients."""


@dataclass
class _EarlierModel:
    """What is kept of a model: its final state, and samples to linearise it at."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    samples: list[tuple[int, Tensor]]
    outputs: int
    """How many of its outputs the training's loss took."""


class WPLSchurSettings(PenaltySettings):
    """Settings of the weight plasticity loss with the Schur complement."""

    strength: NonNegative = Field(
        1.0,
        description="Weight of the penalty, strength/2 * v^T Omega v, v the distance of the "
        "shared parameters from the anchor. 0 is fine-tuning; in the limit the earlier outputs on "
        "the samples are fixed, and directions that do not change them stay free.",
    )
    private: Literal["follows", "fixed"] = Field(
        "follows",
        description="What is assumed about an earlier model's private parameters. 'follows': they "
        "are refitted, Omega = H_ss - H_s1 H_11^-1 H_1s (the paper's). 'fixed': they stay, "
        "Omega = H_ss (what is measured).",
    )
    damping: Positive = Field(
        0.01,
        description="Added to the diagonal of H_11, which is singular. With smaller values the "
        "private parameters can compensate for more. No effect if they are fixed.",
    )
    samples: Count = Field(
        200,
        description="Training samples per earlier model; more protect more. With K = models * "
        "samples * (classes - 1), memory grows with K^2 and the time before a model with K^3.",
    )


class WPLSchur(SharedParameterPenalty):
    """Protect shared parameters by the Schur complement of the Fisher information (WPL).

    For each earlier model, with private parameters theta_1 and shared ones theta_s, that ended at
    theta*, the new model's loss has a term ``strength/2 * v^T Omega v`` with ``v = theta_s -
    theta_s*`` and::

        Omega = H_ss - H_s1 (H_11 + damping)^-1 H_1s      private: follows
        Omega = H_ss                                      private: fixed

    where H is the exact Fisher information with all its entries, over samples of that model's
    training data. ``v^T Omega v`` is the smallest increase of the earlier loss, to second order, if
    its private parameters follow. What is shared follows from the new model's
    gradients; the earlier model's other parameters are its private ones. With two
    models ``palimpsest.strategies.WPL`` is the diagonal of ``fixed``.

    H has no more than samples * (classes - 1) directions. No strength freezes the others: in the
    limit only the outputs on the samples are fixed, to first order, so that more samples protect
    more. If these directions are fewer than the private parameters, which can then compensate for
    all of them, Omega vanishes with the damping.

    For each earlier model its parameters and buffers and the samples' inputs are kept, so that
    memory grows linearly with models. The solution while a model trains takes (models * samples *
    (classes - 1))^2 numbers, see ``schur_complement.py``. It is recomputed for each set of
    parameters that have gradients, and when the ratio of learning rates between parameter groups
    changes. With an adaptive optimizer a step iterates and takes longer.

    Behind Adam, ``application: gradient`` protected far more than the default on 50 samples:
    proximal steps keep the quadratic small, and yet go along the free directions until the earlier
    model is no longer linear (docs/strategies.md has the numbers).

    Source: Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, equations 6 to 8
    and appendix, before the diagonal approximation.

    Limits:
        Memory and time grow with models * samples * classes, so there must be few samples. It
        protects only what those samples show. With many private parameters and a small ``damping``
        the Schur complement vanishes, and with it the protection: A's private parameters are
        assumed to follow, though they do not. With an adaptive optimizer every step is iterative,
        and takes several times as long as with SGD. Where single steps are long, A is not linear
        over one step: with RMSprop at a rate of 0.01, whose first step moves every weight by 0.1, a
        cold start on MNIST leaves A at 35 % without and at 37 % with it (strength 100, 4 seeds,
        which range from 17 to 59 %); with Adam at 0.001 these are 86 and 92 %.
    """

    facts = Facts(
        name="wpl_schur",
        summary="weight plasticity loss as derived: the full quadratic on all shared "
        "parameters at once",
        source="Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, equations 6 "
        "to 8",
        dial=STRENGTH,
        color="#d55e00",
        memory="linear",
        ends_only=True,
        needs=Needs(classes="wpl_schur", single_samples="wpl_schur"),
    )
    Settings = WPLSchurSettings
    settings: WPLSchurSettings
    needs_cross_entropy = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._earlier: list[_EarlierModel] = []
        self._penalties: dict[tuple[str, ...], SchurPenalty] = {}
        self._valued: SchurPenalty | None = None
        self._forces: dict[str, Tensor] = {}
        self._solutions: dict[tuple[str, ...], dict[str, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Linearised models cannot be copied; missing ones are rebuilt.
        return {**vars(self), "_penalties": {}, "_valued": None}

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the linearised models, which are built again from it."""
        rebuilt = {"settings", "_penalties", "_valued"}
        own = {name: value for name, value in vars(self).items() if name not in rebuilt}
        solutions = {key: penalty.solution() for key, penalty in self._penalties.items()}
        return {**own, "_solutions": {**self._solutions, **solutions}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what ``state_dict`` returned of a plugin with the same settings."""
        self.__dict__.update({name: copy.copy(value) for name, value in state.items()})
        self._penalties, self._valued = {}, None

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that cannot be differentiated twice, sample by sample."""
        super().check_network(model, task)
        if self.settings.strength > 0:
            own = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
            for sample in task.samples:
                GaussNewtonRoot(model, own, list(own), [sample])

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model."""
        super().before_training_exp(strategy)
        self._penalties, self._forces, self._solutions = {}, {}, {}

    def penalty(self, model: nn.Module) -> Tensor:
        """Return the penalty at a network's current weights, see ``SharedParameterPenalty``."""
        earlier = {name for known in self._earlier for name in known.parameters}
        own = {name: p for name, p in model.named_parameters() if name in earlier}
        if not own:
            return torch.zeros(())
        known = self._valued.parameters if self._valued else []
        if not self._valued or [id(p) for p in known] != [id(p) for p in own.values()]:
            self._valued = self._build(model, own, [1.0] * len(own))
        return self.settings.strength * self._valued.value()

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the penalty's gradient, if the penalty is applied as a gradient."""
        self.note_gradients()
        if self.settings.application == "gradient" and self.settings.strength > 0:
            names = self._penalised()
            penalty = self._penalty(strategy.model, names, [1.0] * len(names))
            if penalty:
                with changing_gradients(penalty.parameters) as gradients:
                    own = penalty.gradient()
                    torch._foreach_add_(gradients, own, alpha=self.settings.strength)

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the proximal step, if the penalty is applied as one."""
        if self.settings.application != "gradient" and self.settings.strength > 0:
            names = self._penalised()
            metric = self._metric(strategy.optimizer, names)
            if any(isinstance(own, Tensor) or own > 0 for own in metric):
                penalty = self._penalty(strategy.model, names, metric)
                if penalty:
                    forces = penalty.proximal_step_(self.settings.strength, metric)
                    self._note_forces(names, forces)

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Keep the model's final state and some of its samples."""
        self._valued = None
        if self.settings.strength == 0:
            return
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, _, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        samples = [
            (label, x[labels == label].to(strategy.device)) for label in sorted({*labels.tolist()})
        ]
        model = strategy.model
        with evaluation_mode(model), differentiable(model), torch.no_grad():
            outputs = [Network(model, label)(own[:1]).shape[-1] for label, own in samples]
        self._earlier.append(
            _EarlierModel(
                parameters={name: p.detach().clone() for name, p in used.items()},
                buffers={name: b.clone() for name, b in model.named_buffers()},
                samples=samples,
                outputs=max(outputs),
            )
        )

    def _penalised(self) -> list[str]:
        """Return the names of the parameters that this step shares with earlier models."""
        earlier = {name for model in self._earlier for name in model.parameters}
        return [n for n, p in self._parameters.items() if p.grad is not None and n in earlier]

    def _metric(self, optimizer: Any, names: Sequence[str]) -> Metric:
        """Return the metric of the step just taken, see ``optimizer_metric.py``.

        An adaptive optimizer divides by the root of its second moment v of the loss's gradients,
        which is tiny for parameters that hardly affect the loss. They would move all the way that
        the penalty asks for, in steps far beyond where the earlier model is linear. So the larger
        of v and a quarter of a running second moment of the penalty's gradients is used. Where
        training is at rest, both gradients are opposite, so that v is the larger and nothing
        changes. (With all of it in place of a quarter, any larger gradient of the penalty would
        also be at rest.)
        """
        parameters = [self._parameters[name] for name in names]
        rates, place = self._rates(optimizer), optimizer_metric.place(optimizer)
        metric: list[Tensor | float] = [
            rates[place[id(p)]] if id(p) in place else 0.0 for p in parameters
        ]
        if self.settings.application == "decoupled":
            return metric
        for group, rate in enumerate(rates):
            if rate == 0:
                continue  # none of its parameters move
            own = [i for i, p in enumerate(parameters) if place.get(id(p)) == group]
            chosen = [parameters[i] for i in own]
            found = optimizer_metric.denominators(optimizer, group, chosen) if own else None
            if found:
                divided_by = found.tensors()
                typical = _root_mean_square(divided_by)
                for i, d in zip(own, divided_by, strict=True):
                    force = self._forces.setdefault(names[i], torch.full_like(d, typical**2))
                    least = typical * math.sqrt(torch.finfo(d.dtype).eps)  # can be inverted
                    metric[i] = metric[i] / torch.maximum(d, force.sqrt() / 2).clamp_min_(least)
        return metric

    def _note_forces(self, names: Sequence[str], forces: Sequence[Tensor]) -> None:
        """Update the second moments of the penalty's gradients, if they are needed."""
        for name, force in zip(names, forces, strict=True):
            if name in self._forces:
                self._forces[name].mul_(_MEMORY).addcmul_(force, force, value=1 - _MEMORY)

    def _penalty(self, model: nn.Module, names: list[str], metric: Metric) -> SchurPenalty | None:
        """Return the penalty on some parameters; rebuilt only when necessary."""
        if not names:
            return None
        key = tuple(names)
        if key in self._solutions:
            own = {name: self._parameters[name] for name in names}
            self._penalties[key] = SchurPenalty.resumed(
                parameters=list(own.values()),
                terms=self._terms(model, own),
                damping=self.settings.damping,
                solution=self._solutions.pop(key),
            )
        known = self._penalties.get(key)
        if known is None or known.outdated or not _same(known, metric):
            own = {name: self._parameters[name] for name in names}
            self._penalties[key] = self._build(model, own, metric)
        return self._penalties[key]

    def _build(
        self, model: nn.Module, own: Mapping[str, Parameter], metric: Metric
    ) -> SchurPenalty:
        return SchurPenalty(
            parameters=list(own.values()),
            terms=self._terms(model, own),
            metric=metric,
            damping=self.settings.damping,
        )

    def _terms(self, model: nn.Module, own: Mapping[str, Parameter]) -> list[ModelTerm]:
        return [
            self._term(model, earlier, list(own))
            for earlier in self._earlier
            if not earlier.parameters.keys().isdisjoint(own)
        ]

    def _term(self, bank: nn.Module, earlier: _EarlierModel, names: list[str]) -> ModelTerm:
        """Return an earlier model's part, with ``names`` those penalised now."""
        shared = [name for name in names if name in earlier.parameters]
        private = [name for name in earlier.parameters if name not in shared]
        state = {**earlier.parameters, **earlier.buffers}
        follows = private and self.settings.private == "follows"

        def call(_: nn.Module, forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
            return forward(*args, **kwargs)[..., : earlier.outputs]

        with replaced_forward([bank], call):
            return ModelTerm(
                positions=[names.index(name) for name in shared],
                anchors=[earlier.parameters[name] for name in shared],
                shared=GaussNewtonRoot(bank, state, shared, earlier.samples),
                private=GaussNewtonRoot(bank, state, private, earlier.samples) if follows else None,
            )


def _same(penalty: SchurPenalty, metric: Metric) -> bool:
    """Whether a basis is valid for a metric: ratios of plain rates must be its own."""
    kinds = [isinstance(own, Tensor) for own in metric]
    if kinds != [isinstance(own, Tensor) for own in penalty.metric]:
        return False
    if any(kinds):
        return True  # the numbers beside tensors are 0
    numbers = [(float(a), float(b)) for a, b in zip(penalty.metric, metric, strict=True)]
    before, now = max(a for a, _ in numbers), max(b for _, b in numbers)
    # A schedule scales all groups alike, up to rounding.
    return all(math.isclose(a / before, b / now, rel_tol=1e-6) for a, b in numbers)


def _root_mean_square(tensors: Sequence[Tensor]) -> float:
    total = sum(float(tensor.square().sum()) for tensor in tensors)
    return math.sqrt(total / sum(tensor.numel() for tensor in tensors))
