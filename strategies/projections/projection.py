"""Projection of updates: steps that leave some directions of a layer's inputs alone."""

from abc import abstractmethod
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.layer_inputs import WeightMatrix, fed, matrices
from palimpsest.strategies.base.settings import Count, Seed, StrategySettings
from palimpsest.strategies.base.used_parameters import NotesUse
from palimpsest.strategies.curvature.fisher import draw


class InputSettings(StrategySettings):
    """The settings of every strategy that looks at what earlier models fed the layers."""

    samples: Count = Field(
        300,
        le=1000,
        description="Training samples of a model whose inputs of the layers are looked at.",
    )
    seed: Seed = 0


class ProjectionSettings(InputSettings):
    """The settings of every strategy that projects steps across earlier inputs."""

    vectors: Count = Field(
        4096,
        description="Largest number of vectors of a layer's inputs, drawn from those of the "
        "samples. A convolution has one for each sample and position.",
    )


class ProjectedUpdates(NotesUse):
    """A plugin that projects each step across what earlier models fed the layers.

    Each layer's weight W (outputs, inputs), with its bias as one more column, has an orthonormal
    basis M (inputs, k). While a later model trains, each step D of it becomes ``D - D M M^T``, so
    that a vector of the span of M has the same output as before. Subclasses say which directions M
    has, in ``grown``. What is not the weight or the bias of a linear layer or of a convolution
    (normalisation, embeddings, grouped convolutions) is held fixed once an earlier model used it,
    and so is a weight whose bias is not trained with it, or whose basis leaves no direction.

    The step is projected, not the gradient, so that momentum, weight decay and adaptive optimizers
    do not leave the complement of M. Inputs are those of evaluation mode.

    Attributes:
        bases: M, of shape (inputs, k), by the name of the layer.
    """

    Settings = ProjectionSettings
    settings: ProjectionSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.bases: dict[str, Tensor] = {}
        self._layers: list[WeightMatrix] = []
        self._earlier: set[str] = set()
        self._moving: list[tuple[WeightMatrix, list[Tensor]]] = []
        self._fixed: list[Parameter] = []
        self._before: list[list[Tensor]] = []
        self._before_fixed: list[Tensor] = []

    @abstractmethod
    def grown(self, basis: Tensor, rows: Tensor) -> Tensor:
        """Return a layer's basis with what the model just trained adds to it.

        Args:
            basis: M so far, (inputs, k), in double precision; k is 0 at first.
            rows: What the model fed the layer, (vectors, inputs), likewise.

        Returns:
            The new M, whose columns are orthonormal.
        """

    @property
    def keeps(self) -> bool:
        """Whether the settings keep any direction; if not, this is fine-tuning."""
        return True

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return ``1 - k / inputs`` of weights and biases; 0 of what else earlier models used."""
        shares = dict.fromkeys(self._earlier, 0.0)
        for layer in matrices(model):
            if self._leaves(layer) and layer.parameters.keys() <= self._earlier:
                directions = self.bases[layer.name].shape[1]
                shares |= dict.fromkeys(layer.parameters, 1 - directions / layer.width)
        return shares

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has no such layer."""
        self._look_up(model)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the layers.

        Raises:
            ValueError: There is none that it can act on.
        """
        super().before_training_exp(strategy)
        self._look_up(strategy.model)

    def _look_up(self, model: nn.Module) -> None:
        self._layers = matrices(model)
        if not self._layers:
            raise ValueError(
                f"{type(self).__name__} projects the steps of linear layers and convolutions, and "
                "the network has none"
            )

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the values before the step."""
        if self.note_gradients():
            self._divide()
        self._before = [[p.detach().clone() for p in own] for _, own in self._moving]
        self._before_fixed = [p.detach().clone() for p in self._fixed]

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Project the step."""
        for (layer, own), before in zip(self._moving, self._before, strict=True):
            step = layer.joined([p - b for p, b in zip(own, before, strict=True)])
            basis = self.bases[layer.name]
            inside = layer.parted((step @ basis) @ basis.T)
            for parameter, part in zip(own, inside, strict=True):
                parameter.sub_(part)
        for parameter, value in zip(self._fixed, self._before_fixed, strict=True):
            parameter.copy_(value)
        self._before, self._before_fixed = [], []

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Add the directions of the inputs of the model just trained."""
        if not self.keeps:
            return
        self._earlier |= used.keys()
        layers = [layer for layer in self._layers if layer.parameters.keys() & used.keys()]
        for layer, rows in zip(layers, self._inputs(strategy, layers), strict=True):
            if rows is not None:
                empty = rows.new_zeros(layer.width, 0)
                known = self.bases.get(layer.name, empty).double()
                self.bases[layer.name] = self.grown(known, rows.double()).to(rows.dtype)

    def _divide(self) -> None:
        """Sort the parameters that have a gradient: projected, fixed, and free."""
        own = {n for n, p in self._parameters.items() if p.grad is not None and n in self._earlier}
        self._moving = []
        projected: set[str] = set()
        for layer in self._layers:
            names = layer.parameters.keys()
            if names <= own and self._leaves(layer):
                self._moving.append((layer, list(layer.parameters.values())))
                projected |= names
        self._fixed = [self._parameters[name] for name in own - projected]

    def _leaves(self, layer: WeightMatrix) -> bool:
        """Whether a layer has a basis, and one that leaves a direction: else it is held fixed."""
        return layer.name in self.bases and self.bases[layer.name].shape[1] < layer.width

    def _inputs(self, strategy: Any, layers: list[WeightMatrix]) -> list[Tensor | None]:
        """Return what the weights of layers multiply, (vectors, inputs), for some samples."""
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, _, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        found: dict[str, list[Tensor]] = {}
        for seen in fed(strategy.model, layers, x, labels, strategy.device):
            for layer in layers:
                found.setdefault(layer.name, []).extend(seen.get(layer.name, []))
        return [
            _vectors(layer, inputs, self.settings.vectors, generator)
            if (inputs := found[layer.name])
            else None
            for layer in layers
        ]


def _vectors(
    layer: WeightMatrix, inputs: list[Tensor], most: int, generator: torch.Generator
) -> Tensor:
    """Return the vectors of inputs of a layer, (vectors, inputs); of more, as many as allowed."""
    counts = [layer.count(each) for each in inputs]
    if sum(counts) <= most:
        return torch.cat([layer.vectors(each) for each in inputs])
    chosen = torch.randperm(sum(counts), generator=generator)[:most].sort().values
    rows, start = [], 0
    for each, count in zip(inputs, counts, strict=True):
        own = chosen[(chosen >= start) & (chosen < start + count)] - start
        rows.append(layer.vectors(each, own.to(each.device)))
        start += count
    return torch.cat(rows)
