"""Parameter isolation and combination."""

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import SCALE, Facts
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.layer_inputs import fed, matrices
from palimpsest.strategies.base.seeded import seeded
from palimpsest.strategies.base.settings import Count, Positive, Seed
from palimpsest.strategies.curvature.fisher import draw
from palimpsest.strategies.merging.low_rank import BranchedLayer, branched, with_branches
from palimpsest.strategies.task_arithmetic import TaskArithmetic, TaskArithmeticSettings

_SAMPLES = 32
"""How many of a model's samples show which layer is its last."""


class PICSettings(TaskArithmeticSettings):
    """Settings of parameter isolation and combination."""

    rank: Count = Field(
        4, description="r: rank of a branch; at most the smaller side of the layer's weight."
    )
    alpha: Positive = Field(
        8.0, description="The product of a branch's factors is multiplied by alpha / rank."
    )
    seed: Seed = 0


class PIC(TaskArithmetic):
    """Train low-rank branches for each model apart, and add a share of all to the start (PIC).

    Beside the weight W (outputs, inputs) of a linear layer or a convolution, model t trains A_t
    (outputs, r), which begins at 0, and B_t (r, inputs), which begins at random; the weight itself
    stays. Models are evaluated with::

        W_0 + scale * sum_t (alpha / rank) A_t B_t

    so that products are added, not factors. r is ``rank``, or the smaller side of W where that is
    less; alpha / ``rank`` is the same for all layers. The first model that uses a layer trains it
    whole, and the others train branches beside what it leaves. With ``start: initial``, for a
    pre-trained network, the first model trains branches, too, and each model trains whole only its
    last layer. What is shared and is no such weight (biases, normalisation, embeddings) stays at
    the start; a head that grows is trained whole.

    A reconstruction: the authors' program is not public, and only the abstract's rules are known.
    They leave open whether factors or products are added; here it is products, which need no
    common first factors. The rank, alpha and scale are chosen here.

    Source: Zeng, Li & Ayesh, Neural Networks Remember More: The Power of Parameter Isolation and
    Combination, arXiv 2502.10966, 2025; branches: Hu et al., LoRA: Low-Rank Adaptation of Large
    Language Models, ICLR 2022.

    Limits:
        A reconstruction. Biases and normalisation are those of the first model, and branches learn
        less than whole weights. On the turned images of ``task_arithmetic`` (rank 8) accuracy has
        one maximum along the scale: 66.9 % at 0.1, 76.5 % at 0.3, 51.3 % at 0.6, 22.7 % at 1. The
        sum that is kept is as large as the weights, whatever the rank. A rank above a layer's is
        capped; ``alpha / rank`` stays that of the setting. Embeddings, recurrent layers, attention
        and grouped convolutions stay at the start once a model has used them. See
        ``task_arithmetic`` for the limits of all that merge.
    """

    facts = Facts(
        name="pic",
        summary="train low-rank branches for each model apart, add a share of all to the start",
        source="Zeng, Li & Ayesh, arXiv 2502.10966, 2025, rebuilt from its abstract",
        dial=SCALE,
        merges=True,
        keeps_statistics=True,
        moves_unused=True,
        needs_its_model=True,
    )
    Settings = PICSettings
    settings: PICSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._fixed: list[Parameter] = []

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has nothing to wrap."""
        self.adapt(model, 0)

    def adapt(self, model: nn.Module, index: int) -> None:
        """Wrap the layers, and add factors to those that may have a branch in this training.

        Raises:
            ValueError: There is no layer that it can act on.
        """
        layers = with_branches(model, "PIC")
        if not self.begins_training:
            return
        for place, (own, layer) in enumerate(layers.items()):
            if self.settings.start == "initial" or self._is_known(f"{own.name}.weight", index):
                generator = seeded(self.settings.seed, index, place)
                reduction = first_factor(own.layer.weight, self.settings.rank, generator)
                factor = self.settings.alpha / self.settings.rank
                layer.prepare_both(index, reduction, factor)

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Go to the start, open the branches, and look up what stays."""
        super().before_training_exp(strategy, *arguments, **keywords)
        heads = last_layers(strategy) if self.settings.start == "initial" else set()
        layers = branched(strategy.model)
        for own, layer in layers.items():
            if layer.expansions and self._stays(f"{own.name}.weight", heads):
                layer.open()
        factors = {p for layer in layers.values() for p in _factors(layer)}
        for name in [n for n, p in self._parameters.items() if p in factors]:
            self.starts.pop(name, None)
            self._began.pop(name, None)
        self._fixed = [
            parameter
            for name, parameter in self._parameters.items()
            if parameter not in factors and self._stays(name, heads)
        ]

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Remove the gradients of what stays, so that no optimizer moves it."""
        super().after_backward(strategy)
        for parameter in self._fixed:
            parameter.grad = None

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Fold the branches, and take in what they have changed."""
        for layer in branched(strategy.model).values():
            layer.fold()
        self._fixed = []
        left = dict(strategy.model.named_parameters())
        super().keep(strategy, {name: p for name, p in used.items() if name in left})

    def _is_known(self, name: str, index: int) -> bool:
        """Whether another model has used a parameter."""
        return name in self._shared or (name in self.own and self._owners[name] != index)

    def _stays(self, name: str, heads: set[str]) -> bool:
        """Whether a parameter is fixed in this training.

        Args:
            name: Of the parameter.
            heads: The layers whose outputs are the model's.
        """
        assert self._learning is not None
        shape = self._parameters[name].shape
        if self._known_shapes.get(name, shape) != shape:
            return False
        if self._is_known(name, self._learning):
            return True
        return self.settings.start == "initial" and name.rpartition(".")[0] not in heads


def first_factor(weight: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Return where B begins, of shape (rank, inputs): uniform in +-1 / sqrt(inputs), as in LoRA.

    Args:
        weight: W.
        rank: At most; there are no more rows than W has rows or inputs.
        generator: Draws it, on the CPU.
    """
    inputs = weight[0].numel()
    drawn = torch.rand(min(rank, len(weight), inputs), inputs, generator=generator)
    return ((2 * drawn - 1) / math.sqrt(inputs)).to(weight)


def last_layers(strategy: Any) -> set[str]:
    """Return the layers whose outputs are those of the model that trains."""
    x, _, labels = draw(strategy.adapted_dataset, _SAMPLES, torch.Generator().manual_seed(0))
    runs = fed(strategy.model, matrices(strategy.model), x, labels, strategy.device)
    return {[*seen][-1] for seen in runs}


def _factors(layer: BranchedLayer) -> list[Parameter]:
    return [*layer.expansions.values(), *layer.reductions.values()]
