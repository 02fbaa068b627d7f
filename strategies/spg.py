"""Soft-masking of parameter-level gradient flow."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.functional import cross_entropy

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.grown import fit_to_grown
from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    requiring_gradients,
)
from palimpsest.strategies.base.settings import Count, NonNegative, Seed
from palimpsest.strategies.curvature.fisher import draw
from palimpsest.strategies.masks.update_mask import MaskedUpdates, MaskSettings

_BATCH = 128
_SMALL = 1e-12


class SPGSettings(MaskSettings):
    """Settings of soft-masking of parameter-level gradient flow."""

    strength: NonNegative = Field(
        1.0,
        description="p: of a step, the share (1 - A)^p is taken. 0 is fine-tuning, 1 the published "
        "method; the larger, the more is held of what has any importance.",
    )
    importance: Literal["cross_head", "loss"] = Field(
        "cross_head",
        description="What of earlier models has importance for a later one, on its data. "
        "'cross_head': the sum of their logits, without labels (the paper). 'loss': their "
        "cross-entropy, where all models learn the same data.",
    )
    private: Literal["scaled", "free"] = Field(
        "scaled",
        description="What no earlier model used. 'scaled': held by the mean share of what is "
        "shared (the paper). 'free': not held.",
    )
    samples: Count = Field(
        1000, description="Training samples that importances are summed over; the paper takes all."
    )
    seed: Seed = 0


class SPG(MaskedUpdates):
    """Hold each parameter back by how much earlier models' gradients single it out (SPG).

    When model t has been trained, on its data and for each model tau up to t, with G the summed
    gradient of its loss (tau = t) or of the sum of all logits (tau < t), in each tensor::

        gamma = |tanh((G - mean(G)) / std(G))|    A <- max(A, gamma)

    and of every step of later models the share ``(1 - A)^strength`` is taken; of what no earlier
    model used, the mean share of all shared parameters that the model uses. A is 0 for what no
    earlier model used, never falls, and is at most 1, where a parameter never moves again.

    The gradients are sums with their signs, over the data: a parameter stands out by its place
    among those of its tensor, whatever the size of the loss. So a tensor always has important
    elements, and every model adds some: the share that is left shrinks fast.

    Gradients are those of evaluation mode, without dropout; the authors' program leaves it on. It
    scales the gradient, not the step (``scales: gradient``), trains by SGD alone and takes all
    samples.

    Source: Konishi, Kurokawa, Ono, Ke, Kim & Liu, Parameter-Level Soft-Masking for Continual
    Learning, ICML 2023, and its program, github.com/UIC-Liu-Lab/spg. The exponent, and the true
    loss of earlier models where all learn the same data, are additions.

    Attributes:
        importances: A, of the parameters' shapes, by name.

    Limits:
        Importance is standardised within each tensor, so that every model finds important elements
        in all of them, and the maximum over models only rises: after n models whose gradients were
        independent and normal, the mean share of a step that is taken is 0.45 (n = 1), 0.13 (5) and
        0.07 (10). At the end of a training the summed gradient of its own loss is mostly noise. The
        published ``strength`` (its p) of 1 costs points where trainings are short: with ten models
        over a pool of layers it ends 8.3 [6.7, 10.0] points of average accuracy below the strength
        that validation data choose with 200 steps a model (``docs/isolation.md``), and 10.5 [8.8,
        12.2] points with 60 batches a model (``docs/which-method.md``). So choose it by validation
        data, below 1 as well. ``scales: gradient`` is the published form; it is refused behind
        anything but SGD without momentum and weight decay. It comes back to earlier models by their
        labels, so that searches refuse it.
    """

    facts = Facts(
        name="spg",
        summary="soft masks: hold each parameter by how much earlier models' gradients single "
        "it out",
        source="Konishi et al., Parameter-Level Soft-Masking for Continual Learning, ICML 2023",
        dial=STRENGTH,
        needs_its_model=True,
        ends_only=True,
        holds_for_good=True,
        needs=Needs(classes="spg"),
    )
    Settings = SPGSettings
    settings: SPGSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.importances: dict[str, Tensor] = {}
        self._labels: list[int] = []

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Extend importances, by 0, to parameters that have grown."""
        super().before_training_exp(strategy, *arguments, **keywords)
        fit_to_grown(self.importances, self._parameters)

    def holds(self, used: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return ``1 - (1 - A)^strength``, and its mean for what no earlier model used."""
        shared = {n: self.importances[n] for n in used if n in self.importances}
        if not shared or self.settings.strength == 0:
            return {}
        found = {n: 1 - (1 - a).pow(self.settings.strength) for n, a in shared.items()}
        if self.settings.private == "scaled":
            mean = torch.cat([hold.flatten() for hold in found.values()]).double().mean()
            found |= {n: mean for n in used if n not in shared}
        return found

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return the mean of ``(1 - A)^strength``, of what earlier models used."""
        shares = super().free(model)
        return {name: share for name, share in shares.items() if name in self.importances}

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Raise the importances by those of the model just trained."""
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, y, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        own = sorted(set(labels.tolist()))
        known = self.importances.keys() | used.keys()
        parameters = {n: p for n, p in self._parameters.items() if n in known}
        if not parameters:  # everything is frozen
            return
        model = strategy.model
        with evaluation_mode(model), requiring_gradients(model), differentiable(model):
            for tau in [*own, *(label for label in self._labels if label not in own)]:
                some = labels == tau if tau in own else torch.ones_like(labels, dtype=torch.bool)
                network = Network(model, tau)
                faithful = tau in own or self.settings.importance == "loss"
                inputs, targets = x[some].to(strategy.device), y[some].to(strategy.device)
                for name, gradient in _summed(network, parameters, inputs, targets, faithful):
                    gamma = _importance(gradient)
                    before = self.importances.get(name)
                    self.importances[name] = gamma if before is None else before.maximum(gamma)
        self._labels += [label for label in own if label not in self._labels]


def _summed(
    network: Network,
    parameters: Mapping[str, Parameter],
    x: Tensor,
    y: Tensor,
    faithful: bool,
) -> Iterator[tuple[str, Tensor]]:
    """Yield the summed gradient of the cross-entropy, or else of all logits, where there is one."""
    total: dict[str, Tensor] = {}
    wanted = list(parameters.values())
    for inputs, targets in zip(torch.split(x, _BATCH), torch.split(y, _BATCH), strict=True):
        with torch.enable_grad():
            logits = network(inputs)
            loss = cross_entropy(logits, targets, reduction="sum") if faithful else logits.sum()
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                own = gradient.double()
                total[name] = total[name] + own if name in total else own
    yield from total.items()


def _importance(gradient: Tensor) -> Tensor:
    """Return ``|tanh|`` of a tensor's standardised gradient; 0 where all its elements are equal."""
    if gradient.numel() < 2 or gradient.std() <= _SMALL * gradient.abs().max().clamp_min(_SMALL):
        return torch.zeros_like(gradient)
    return ((gradient - gradient.mean()) / gradient.std()).tanh().abs()
