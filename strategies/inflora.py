"""Interference-free low-rank adaptation."""

import math
from collections.abc import Sequence, Sized
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import ENERGY, Facts
from palimpsest.strategies.base.hooks import Hooked, Task
from palimpsest.strategies.base.layer_inputs import WeightMatrix, fed, matrices
from palimpsest.strategies.base.settings import Count, Share
from palimpsest.strategies.base.used_parameters import NotesUse
from palimpsest.strategies.curvature.fisher import draw
from palimpsest.strategies.merging.low_rank import branched, with_branches
from palimpsest.strategies.projections.dual_basis import DualBasis
from palimpsest.strategies.projections.projection import InputSettings

_BATCH = 32


class InfLoRASettings(InputSettings):
    """Settings of interference-free low-rank adaptation."""

    energy: Share = Field(
        0.95,
        description="Share of the energy of each layer's inputs that the kept directions have; it "
        "counts squares of the covariance's singular values. 0 keeps nothing, 1 all inputs that "
        "were seen.",
    )
    rises: bool = Field(
        True,
        description="Whether the energy rises with each model on the way to 1, as published; where "
        "it is known how many there are.",
    )
    rank: Count = Field(10, description="Rank of a branch, at most.")
    trunk: Literal["trained", "fixed"] = Field(
        "trained",
        description="The weights that branches are beside. 'trained': as the first model that "
        "uses them leaves them. 'fixed': as the network begins, for pre-trained ones; the first "
        "model trains branches, too, and whole only its last layer, the head.",
    )
    samples: Count = Field(
        1000, le=1000, description="Training samples of a model that covariances are taken of."
    )


class InfLoRA(Hooked, NotesUse):
    """Train low-rank branches across the directions of earlier models' inputs (InfLoRA).

    The first model that uses a layer trains it whole. Then its weight W (outputs, inputs) is
    fixed, and a later model t trains a branch beside it, ``W + A_t B_t``, and what no earlier model
    used, such as its head. With C the covariance (not centred) of what model t feeds the layer
    before it trains, and M a basis of what earlier models fed it::

        C' = (I - M M^T) C (I - M M^T)                B_t = (u_1 .. u_r)^T / sqrt(3)    A_t = 0

    where u_i are the leading singular vectors of C', of which r is the ``rank``, or what there is:
    where nothing is free, nothing is trained. A_t (outputs, r) is trained, B_t is not. As
    ``B_t M = 0``, a vector of the span of M has the same output as before. After the training
    ``A_t B_t`` is added to W, and M grows by DualGPM (see ``DualBasis``) until it has the share
    ``energy_t`` of the energy of C, taken anew::

        energy_t = energy + (1 - energy) t / T          for model t = 0, 1, ... of T

    T is how many experiences the Avalanche stream has; where it does not tell, and with ``rises:
    false``, the energy stays the same. The published energy is that of the *squares* of the
    covariance's singular values, so that fewer directions are kept than by ``gpm`` at the same one.

    What is shared and is no weight of a linear layer or an ungrouped convolution (biases,
    normalisation, embeddings) stays, to the bit. Of a head that grows the old rows stay.

    Source: Liang & Li, InfLoRA: Interference-Free Low-Rank Adaptation for Continual Learning, CVPR
    2024, and its program, github.com/liangyanshuo/InfLoRA. Its networks are pre-trained, fixed from
    the beginning (``trunk: fixed``) and in evaluation mode while they train, with branches beside
    the keys and values of attention. Other than in the program, M has the energy also after the
    first model (one direction more); C' is projected from both sides, so that u_i are singular
    vectors of the inputs without their kept part (the paper's form, as others tell it); and
    branches are folded into W.

    Attributes:
        bases: M, by the name of the layer.

    Limits:
        A branch has at most ``rank`` directions, and biases and normalisation are those of the
        first model, so that later models learn more slowly: four permutations of MNIST (a head
        each, 10,000 images, 400 steps of Adam 0.001, three seeds) to 88.9 %, with ``rank: 50`` to
        93.8 %, with ``gpm`` to 95.1 %. What is held is each layer's output for the earlier models'
        inputs of that layer, which shift when layers before it change, and by a weaker measure of
        energy than ``gpm``'s. Beside a ``fixed`` trunk also layers are fixed that are private and
        not the last one. While ``rises`` it is told how many models there will be. Covariances are
        decomposed before and after each training: half a second for a layer with 784 inputs, ten
        seconds with 2,304. Embeddings, recurrent layers, attention and grouped convolutions are
        frozen once an earlier model used them; running statistics are not.
    """

    facts = Facts(
        name="inflora",
        summary="low-rank branches beside fixed weights, across the directions of earlier "
        "models' inputs",
        source="Liang & Li, InfLoRA, CVPR 2024",
        dial=replace(ENERGY, idle=None),
        memory="linear",
        holds_for_good=True,
    )
    Settings = InfLoRASettings
    settings: InfLoRASettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.bases: dict[str, DualBasis] = {}
        self._earlier: dict[str, torch.Size] = {}
        self._fixed: list[Parameter] = []
        self._grown: list[tuple[Parameter, tuple[slice, ...], Tensor]] = []

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has nothing to wrap."""
        self.adapt(model, 0)

    def adapt(self, model: nn.Module, index: int) -> None:
        """Wrap the layers, and add A to those that may have a branch in the training to come.

        Raises:
            ValueError: There is no layer that it can act on.
        """
        layers = with_branches(model, "InfLoRA")
        if self.begins_training:
            for own, layer in layers.items():
                if self.settings.trunk == "fixed" or f"{own.name}.weight" in self._earlier:
                    layer.prepare(index, self.settings.rank)

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return ``1 - dim(M) / inputs`` of weights; 0 of what else earlier models used."""
        shares = dict.fromkeys(self._earlier, 0.0)
        for own in branched(model):
            name = f"{own.name}.weight"
            if name in self._earlier and own.name in self.bases:
                width = own.layer.weight[0].numel()
                shares[name] = 1 - self.bases[own.name].dimension / width
        return shares

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Open the branches, and look up what stays."""
        super().before_training_exp(strategy, *arguments, **keywords)
        layers = branched(strategy.model)
        prepared = [own for own, layer in layers.items() if layer.expansions]
        covariances, heads = self._looked(strategy, prepared) if prepared else ({}, set())
        learned = {p for layer in layers.values() for p in layer.expansions.values()}
        self._fixed, self._grown = [], []
        for name, parameter in self._parameters.items():
            known = self._earlier.get(name)
            if known not in (None, parameter.shape):
                old = tuple(map(slice, known))
                self._grown.append((parameter, old, parameter.detach()[old].clone()))
            elif self._stays(name, heads) and parameter not in learned:
                self._fixed.append(parameter)
        for own in prepared:
            if own.name in covariances and self._stays(f"{own.name}.weight", heads):
                values, directions = self._basis(own).directions(covariances[own.name])
                count = min(self.settings.rank, int((values > 0).sum()))
                layers[own].open(directions[:, :count].T / math.sqrt(3))

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Remove the gradients of what stays, so that no optimizer moves it."""
        self.note_gradients()
        for parameter in self._fixed:
            parameter.grad = None

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Put back the old rows of what has grown."""
        for parameter, old, value in self._grown:
            parameter[old] = value

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Fold the branches, and let M grow."""
        layers = branched(strategy.model)
        for layer in layers.values():
            layer.fold()
        left = dict(strategy.model.named_parameters())
        self._earlier |= {name: p.shape for name, p in used.items() if name in left}
        self._fixed, self._grown = [], []
        energy = self._energy(strategy.experience)
        covariances, _ = self._looked(strategy, [*layers])
        for own in layers:
            if own.name in covariances:
                basis = self._basis(own).grown(covariances[own.name], energy)
                self.bases[own.name] = basis.to(own.layer.weight.dtype)

    def _basis(self, own: WeightMatrix) -> DualBasis:
        weight = own.layer.weight.detach()
        return self.bases.get(own.name) or DualBasis.of_nothing(weight[0].numel(), weight)

    def _stays(self, name: str, heads: set[str]) -> bool:
        """Whether a parameter that has not grown is fixed.

        Args:
            name: Of the parameter.
            heads: The layers whose outputs are the model's.
        """
        if name in self._earlier:
            return True
        return self.settings.trunk == "fixed" and name.rpartition(".")[0] not in heads

    def _energy(self, experience: Any) -> float:
        """Return the energy that M has after a model."""
        energy = self.settings.energy
        stream = getattr(experience, "origin_stream", None)
        if self.settings.rises and isinstance(stream, Sized):
            energy += (1 - energy) * experience.current_experience / len(stream)
        return energy

    def _looked(
        self, strategy: Any, layers: Sequence[WeightMatrix]
    ) -> tuple[dict[str, Tensor], set[str]]:
        """Return the covariances C of what layers are fed, and the last layer of each label.

        C is a sum over vectors, of batches in double precision; its scale does not matter.
        """
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, _, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        batches = zip(torch.split(x, _BATCH), torch.split(labels, _BATCH), strict=True)
        found: dict[str, Tensor] = {}
        heads: set[str] = set()
        every = matrices(strategy.model)
        for some in batches:
            for seen in fed(strategy.model, every, *some, strategy.device):
                heads |= {*[*seen][-1:]}
                for own in layers:
                    for inputs in seen.get(own.name, []):
                        rows = own.inputs(inputs)
                        found[own.name] = found.get(own.name, 0) + (rows.T @ rows).double()
        return found, heads
