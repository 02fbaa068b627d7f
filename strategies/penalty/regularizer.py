"""The mechanism behind every importance-weighted penalty, as an Avalanche plugin.

A strategy says how important each parameter is once a model has been trained; this class does the
rest: it keeps importances and anchors, combines those of several models, and applies the penalty
while the next model trains (see ``strategies/penalty/quadratic.py`` for the arithmetic).

Which parameters are penalised follows from the gradients: those that have one in the current
step are used by the current model, those with an importance were used by an earlier one, and
their intersection is what the models share. A parameter without a gradient is never touched.
"""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.architectures import edges_of
from palimpsest.strategies.base.grown import extended, fitted
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.sparse import changing_gradients
from palimpsest.strategies.penalty import optimizer_metric
from palimpsest.strategies.penalty.optimizer_metric import Denominators
from palimpsest.strategies.penalty.quadratic import (
    add_gradient_,
    mean_importance,
    penalty,
    proximal_step_,
    pull,
    stiffness,
)
from palimpsest.strategies.penalty.settings import RegularizerSettings
from palimpsest.strategies.penalty.shared_parameters import SharedParameterPenalty

_SHOWN = 4
"""How many names an error quotes."""


@dataclass
class _Block:
    """The penalised parameters of one of the optimizer's groups.

    Attributes:
        group: Which group.
        parameters: The parameters to pull.
        anchors: Their anchors.
        importances: Their importances.
        scale: The strength in force times the group's rate.
        pulls: The share of the way to the anchor, if the optimizer divides by nothing; computed on
            first use, like the following.
        stiffnesses: k, scale times importance, if the optimizer divides by ``d = f r + e``.
        offsets: e of the latest step.
        shifted: k + e.
    """

    group: int
    parameters: list[Tensor]
    anchors: list[Tensor]
    importances: list[Tensor]
    scale: float
    pulls: list[Tensor] = field(default_factory=list)
    stiffnesses: list[Tensor] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)
    shifted: list[Tensor] = field(default_factory=list)

    def pulls_now(self, divided_by: Denominators | None) -> list[Tensor]:
        """Return the share of the way to its anchor that each parameter moves in this step.

        ``w = c / (1 + c)`` with ``c = scale * I / d``, as ``k / (d + k)``.
        """
        if divided_by is None:
            self.pulls = self.pulls or [pull(i, self.scale) for i in self.importances]
            return self.pulls
        self.stiffnesses = self.stiffnesses or [stiffness(i, self.scale) for i in self.importances]
        if self.offsets != divided_by.offsets:
            self.offsets = divided_by.offsets
            self.shifted = list(torch._foreach_add(self.stiffnesses, self.offsets))
        return list(torch._foreach_div(self.stiffnesses, divided_by.plus(self.shifted)))


@dataclass
class _Penalised:
    """What the penalty acts on, as long as the same parameters have gradients at the same rates."""

    with_gradient: list[bool]
    rates: list[float]
    blocks: list[_Block]


class Regularizer(SharedParameterPenalty):
    """A quadratic penalty on the parameters that the current model shares with earlier ones.

    ``strength/2 * sum_i I_i (theta_i - anchor_i)^2``. Subclasses implement ``estimate``, and may
    override ``consolidate``. With ``normalise: mean`` every I_i is divided by the mean of all, over
    all elements of the parameters that have one.

    Attributes:
        importances: I by parameter name, for protected parameters that some earlier model used,
            before they are divided by anything.
        anchors: The values they are pulled to, by parameter name.
    """

    Settings = RegularizerSettings
    settings: RegularizerSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.importances: dict[str, Tensor] = {}
        self.anchors: dict[str, Tensor] = {}
        self._protected: frozenset[str] = frozenset()
        self._strength = self.settings.strength
        self._penalised: _Penalised | None = None

    @abstractmethod
    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the importance of the model just trained, of the parameters' shapes.

        Args:
            strategy: The Avalanche strategy; its model, ``experience`` and
                ``adapted_dataset`` are those of the training that just ended.
            parameters: The parameters that had a gradient in this training, by name.
        """

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Combine a parameter's new importance with that of earlier models.

        By default importances are added, and the anchor is the parameter's new value.

        Args:
            name: The parameter; ``name in self.importances`` if an earlier model used it.
            importance: What ``estimate`` returned.
            value: The parameter's value now.

        Returns:
            The importance and the anchor from now on.
        """
        if name in self.importances:
            importance = self.importances[name] + importance
        return importance, value

    def observe_gradients(self) -> None:
        """Observe the loss's gradients of a step; by default nothing."""

    def penalty(self, model: nn.Module) -> Tensor:
        """Return the penalty at a network's current weights, see ``SharedParameterPenalty``."""
        known = {n: p for n, p in model.named_parameters() if n in self.importances}
        if not known:
            return torch.zeros(())
        anchors = [self.anchors[name] for name in known]
        importances = [self.importances[name] for name in known]
        return penalty(list(known.values()), anchors, importances, self.strength_in_force())

    def strength_in_force(self) -> float:
        """Return what the importances, as they are kept, are multiplied by."""
        strength = self.decayed_strength()
        if self.settings.normalise == "mean":
            return strength / mean_importance(self.importances.values())
        return strength

    def decayed_strength(self) -> float:
        """Return the strength, or what ``strength_decay`` has left of it."""
        return self.settings.strength * self.settings.share_of_strength(self.models_seen)

    @property
    def _acts(self) -> bool:
        """Whether the penalty has any strength in this training."""
        return self.settings.strength > 0 and self._strength > 0

    def forget(self) -> None:
        """Forget all importances, as ``reset_every`` asks."""
        self.importances, self.anchors = {}, {}

    @property
    def gathers(self) -> bool:
        """Whether this training counts for importances: ``start`` is over."""
        return self.models_seen >= self.settings.start

    def trained(self) -> dict[str, Parameter]:
        """Return the protected parameters that have a gradient in this step, by name."""
        own = self._parameters.items()
        return {n: p for n, p in own if n in self._protected and p.grad is not None}

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse another loss, or patterns of ``protect`` that match nothing."""
        super().check_network(model, task)
        protected(model, self.settings.protect)

    # Avalanche's callbacks, in the order in which they come.

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model.

        Raises:
            ValueError: A pattern of ``protect`` matches none of them, too.
        """
        super().before_training_exp(strategy)
        self._protected = protected(strategy.model, self.settings.protect)
        self._penalised = None
        every = self.settings.reset_every
        if every is not None and self.models_seen % every == 0:
            self.forget()
        for name in self.importances:
            self._fit_to_grown(name)
        self._strength = self.strength_in_force()

    @torch.no_grad()
    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Observe the loss's gradients, to which no penalty has been added yet."""
        self.observe_gradients()

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the penalty's gradient, if the penalty is applied as a gradient."""
        self.note_gradients()
        if self.settings.application == "gradient" and self._acts:
            for block in self._blocks_now(strategy.optimizer):
                own = (block.parameters, block.anchors, block.importances)
                with changing_gradients(block.parameters) as gradients:
                    add_gradient_(gradients, *own, self._strength)

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the proximal step, if the penalty is applied as one."""
        application = self.settings.application
        if application == "gradient" or not self._acts:
            return
        for block in self._blocks_now(strategy.optimizer):
            divided_by = None
            if application == "proximal":
                own = (block.group, block.parameters)
                divided_by = optimizer_metric.denominators(strategy.optimizer, *own)
            proximal_step_(block.parameters, block.anchors, block.pulls_now(divided_by))

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Estimate the importance for the model just trained, and combine it with earlier ones."""
        own = {name: value for name, value in used.items() if name in self._protected}
        if not own or not self.gathers:
            return  # everything is frozen, or it is too early
        for name, importance in self.estimate(strategy, own).items():
            value = own[name].detach().clone()
            self.importances[name], self.anchors[name] = self.consolidate(name, importance, value)

    def _blocks_now(self, optimizer: Any) -> list[_Block]:
        """Return the shared parameters of this step; rebuilt only when something changed."""
        rates = self._rates(optimizer)
        at = self._penalised
        if at and at.with_gradient is self._with_gradient and at.rates == rates:
            return at.blocks
        groups: dict[int, list[str]] = {}
        place = optimizer_metric.place(optimizer)
        for name, parameter in self._parameters.items():
            if parameter.grad is not None and name in self.importances:
                group = place.get(id(parameter))
                if group is not None:  # else the optimizer does not move it
                    groups.setdefault(group, []).append(name)
        blocks = [
            _Block(
                group=group,
                parameters=[self._parameters[name] for name in names],
                anchors=[self.anchors[name] for name in names],
                importances=[self.importances[name] for name in names],
                scale=rates[group] * self._strength,
            )
            for group, names in groups.items()
        ]
        self._penalised = _Penalised(self._with_gradient, rates, blocks)
        return blocks

    def _fit_to_grown(self, name: str) -> None:
        """Extend importance (by 0) and anchor to a parameter that has grown, such as a head."""
        parameter = self._parameters.get(name)
        if parameter is not None:
            self.anchors[name] = extended(self.anchors[name], parameter)
            self.importances[name] = fitted(self.importances[name], parameter.shape)


def protected(model: nn.Module, protect: str | Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters that may have importance.

    Args:
        model: What is trained.
        protect: ``all``, ``edges`` (see ``strategies.base.architectures.HasEdges``), or patterns of
            names with the wildcards ``*``, ``?`` and ``[...]``.

    Raises:
        ValueError: A pattern matches no parameter, or the model does not tell its edges.
    """
    names = [name for name, _ in model.named_parameters()]
    if protect == "all":
        return frozenset(names)
    if protect == "edges":
        return edges_of(model, "protect: edges")
    assert not isinstance(protect, str)
    return frozenset(name for pattern in protect for name in _matching(pattern, names))


def _matching(pattern: str, names: Collection[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        some = ", ".join(list(names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ValueError(
            f"protect: the pattern {pattern!r} matches no parameter of the model, which has "
            f"{some}{more}; wildcards are *, ? and [...]"
        )
    return found
