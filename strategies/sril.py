"""Selective regularization: distillation of shared features where it helps the new model, too."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from avalanche.models.utils import is_multi_task_module
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.likelihood import loss_in, require_cross_entropy, trained_outputs
from palimpsest.strategies.base.network import (
    Network,
    evaluation_mode,
    recurrent_kernels,
    running_statistics,
)
from palimpsest.strategies.base.settings import Count, NonNegative, Seed, Share, StrategySettings
from palimpsest.strategies.base.used_parameters import NotesUse
from palimpsest.strategies.curvature.fisher import draw

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits and classes, a mean over samples."""

_BLOCK = 256
"""Samples of one pass."""


class SRILSettings(StrategySettings):
    """Settings of selective regularization."""

    strength: NonNegative = Field(
        1.0,
        description="lambda: weight of the distance of shared features from those before. 0 is "
        "fine-tuning, whatever the interpolation.",
    )
    conflicting: Share = Field(
        0.0,
        description="Weight of a sample whose distance and classification loss ask for opposite "
        "changes of its features; of the others it is 1. 0 is the selection, 1 plain feature "
        "distillation.",
    )
    interpolation: Share = Field(
        0.0,
        description="a: after a training in which the earlier models lost confidence, shared "
        "parameters become a times those before plus 1 - a times those now. 0: never.",
    )
    samples: Count = Field(1000, description="Training samples that the confidence is measured on.")
    seed: Seed = 0


class SRIL(NotesUse):
    """Distil shared features where classification agrees, and mix in earlier weights (SRIL).

    A reconstruction: the abstract was all that could be read, and the formulas are ours. The
    features z of a sample are what the shared layers hand over: the input of each layer of its own
    that follows a shared one, or of the last layer where all are shared. z' are the same with the
    shared parameters as the models before left them. With the gradients of the classification
    loss L and of the distance, by the features of each of the N samples::

        loss + strength * 1/N sum_n w_n mean_d (z_nd - z'_nd)^2
        w_n = 1 if <dL/dz_n, z_n - z'_n> >= 0 else conflicting

    Where both ask for the same, features are completed (w = 1). Where they conflict, they are
    separated: w is 0 by default. With ``conflicting: 1`` this is plain feature distillation.

    When a model has been trained, and the earlier models are less confident with the shared
    parameters as they are now than with those before (mean largest probability, on samples of the
    new model), these parameters become ``interpolation * before + (1 - interpolation) * now``.

    There are no samples of earlier models: what the paper asks of them is asked of the new model's.
    Features are those of evaluation mode. Running statistics and what the new model does not share
    are not interpolated. At strength 0 nothing of this happens.

    Source: Han, Na & Hwang, Selective Regularization for Class-Incremental Learning, ACCV 2024,
    arXiv 2305.05175, abstract.

    Attributes:
        interpolated: The models after which weights were interpolated.

    Limits:
        A reconstruction: only the abstract was known. It says that the gradients of both losses
        decide between completion and separation, and that weights are interpolated where confidence
        asks for it; by how much it does not say, so ``interpolation`` is off by default. Samples of
        earlier models, which the paper has, are replaced by the new model's. Where models share one
        head, nothing holds the last layer, and the confidence of the network on new data mostly
        rises, so that nothing is interpolated. Memory is one copy of the shared parameters; a step
        takes two more forward passes.
    """

    facts = Facts(
        name="sril",
        summary="selective regularization: hold shared features where that helps the new "
        "model, too",
        source="Han, Na & Hwang, ACCV 2024, rebuilt from its abstract",
        dial=STRENGTH,
        needs_its_model=True,
        ends_only=True,
        needs=Needs(classes="sril"),
    )
    Settings = SRILSettings
    settings: SRILSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.interpolated: list[int] = []
        self._earlier: set[str] = set()
        self._labels: set[int] = set()
        self._before: dict[str, Tensor] = {}
        self._statistics: dict[str, Tensor] = {}

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse another loss than cross-entropy."""
        require_cross_entropy(task.loss, type(self).__name__)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Copy the shared parameters, and running statistics, as the models before left them.

        Raises:
            ValueError: The training's loss is not cross-entropy.
        """
        require_cross_entropy(loss_in(strategy), type(self).__name__)
        super().before_training_exp(strategy)
        self._before = {}  # first, so that there are never two copies
        if self.settings.strength > 0:
            known = self._parameters.keys() & self._earlier
            self._before = {n: self._parameters[n].detach().clone() for n in sorted(known)}
            self._statistics = self._shared_statistics(strategy.model)

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the distillation loss."""
        if self._before:
            x, several = strategy.mb_x, is_multi_task_module(strategy.model)
            labels = strategy.mb_task_id if several else 0
            if not isinstance(labels, Tensor):
                labels = torch.full((len(x),), labels)

            def loss(logits: Tensor, y: Tensor) -> Tensor:
                found: Tensor = strategy._criterion(trained_outputs(strategy, logits), y)
                return found

            distance = self.distance(strategy.model, x, strategy.mb_y, labels, loss)
            strategy.loss = strategy.loss + self.settings.strength * distance

    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which parameters the model uses."""
        self.note_gradients()

    def distance(
        self, model: nn.Module, x: Tensor, y: Tensor, labels: Tensor, loss: Loss
    ) -> Tensor:
        """Return the weighted distance of the features from those before, a scalar.

        Args:
            model: The network.
            x: Inputs (N, ...).
            y: Classes (N,).
            labels: Task labels (N,).
            loss: The training's.
        """
        total = x.new_zeros(())
        for label in sorted(set(labels.tolist())):
            own = (labels == label).to(x.device)
            with evaluation_mode(model), recurrent_kernels(model):
                with self._handed_over(model) as new:
                    logits = Network(model, label)(x[own])
                with self._handed_over(model) as old, torch.no_grad():
                    Network(model, label, self._then)(x[own])
            pairs = [(z, then) for z, then in zip(new, old, strict=True) if z.requires_grad]
            features = [z for z, _ in pairs]
            gradients = _gradients(loss(logits, y[own]), features)
            for (z, then), gradient in zip(pairs, gradients, strict=True):
                change = (z - then).flatten(1)
                w = weights(gradient, change, self.settings.conflicting)
                total = total + (w * change.square().mean(dim=1)).sum() / len(x)
        return total

    @torch.no_grad()
    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Interpolate where it is due; note what the model uses."""
        index = int(strategy.experience.current_experience)
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, _, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        shared = self._before.keys() & used.keys()
        if shared and self.settings.interpolation > 0:
            now, before = self.confidences(strategy.model, x.to(strategy.device))
            if before > now:
                self.interpolated.append(index)
                for name in shared:
                    used[name].copy_(
                        used[name].lerp(self._before[name], self.settings.interpolation)
                    )
        self._earlier |= used.keys()
        self._labels |= set(labels.tolist()) if is_multi_task_module(strategy.model) else {0}

    def confidences(self, model: nn.Module, x: Tensor) -> tuple[float, float]:
        """Return the mean largest probability of the earlier models, now and before.

        Args:
            model: The network.
            x: Samples (N, ...).
        """
        found = []
        with evaluation_mode(model), torch.no_grad():
            for state in (None, self._then):
                sure = [
                    Network(model, label, state)(part).softmax(dim=-1).amax(dim=-1).sum()
                    for label in sorted(self._labels)
                    for part in torch.split(x, _BLOCK)
                ]
                found.append(float(torch.stack(sure).sum()) / (len(self._labels) * len(x)))
        return found[0], found[1]

    @property
    def _then(self) -> dict[str, Tensor]:
        """What the shared part of the network was before."""
        return {**self._before, **self._statistics}

    def _shared_statistics(self, model: nn.Module) -> dict[str, Tensor]:
        """Copies of the running statistics of layers that earlier models trained."""
        layers = {name.rpartition(".")[0] for name in self._earlier}
        running = running_statistics(model)
        return {n: v.clone() for n, v in running.items() if n.rpartition(".")[0] in layers}

    @contextmanager
    def _handed_over(self, model: nn.Module) -> Iterator[list[Tensor]]:
        """Collect the features that shared layers hand over, while the network runs once."""
        shared = {id(p) for n, p in model.named_parameters() if n in self._before}
        found: list[Tensor] = []
        last: list[Tensor] = []
        after_shared = [False]

        def note(is_shared: bool, inputs: tuple[Any, ...]) -> None:
            if not (inputs and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point()):
                return
            if after_shared[0] and not is_shared:
                found.append(inputs[0])
            after_shared[0] = is_shared
            last[:] = inputs[:1]

        handles = []
        for layer in model.modules():
            own = [id(p) in shared for p in layer.parameters(recurse=False)]
            if own:
                hook = partial(note, any(own))
                handles.append(layer.register_forward_pre_hook(lambda _, x, hook=hook: hook(x)))
        try:
            yield found
            if not found:
                found += last
        finally:
            for handle in handles:
                handle.remove()


def _gradients(loss: Tensor, features: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the gradient of a loss by each of the features, ``None`` where it has none."""
    if not features:
        return ()
    return torch.autograd.grad(loss, features, retain_graph=True, allow_unused=True)


def weights(gradient: Tensor | None, change: Tensor, conflicting: float) -> Tensor:
    """Return the weight of each sample's distance (N,).

    Args:
        gradient: Of the classification loss by the features (N, ...); ``None``: 0.
        change: The features less those before (N, d), along the gradient of the distance.
        conflicting: The weight where their product is negative.
    """
    if gradient is None:
        return change.new_ones(len(change))
    conflict = (gradient.flatten(1) * change.detach()).sum(dim=1) < 0
    return torch.where(conflict, conflicting, 1.0).to(change)
