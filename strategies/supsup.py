"""Supermasks in superposition."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from avalanche.models import MultiTaskModule
from pydantic import Field, model_validator
from torch import Tensor, nn

from palimpsest.strategies.base.facts import DENSITY, Facts
from palimpsest.strategies.base.hooks import Configured, Hooked, Task
from palimpsest.strategies.base.network import Network, replaced_forward, running_statistics
from palimpsest.strategies.base.seeded import seeded
from palimpsest.strategies.base.settings import Count, PositiveShare, Seed, StrategySettings
from palimpsest.strategies.curvature.fisher import draw
from palimpsest.strategies.masks.knn_transfer import Look, look
from palimpsest.strategies.masks.mask_inference import inferred
from palimpsest.strategies.masks.weight_masks import (
    MaskedLayer,
    add_masks,
    applied,
    copied,
    make_signed_constant,
    masked_layers,
)


class SupSupSettings(StrategySettings):
    """Settings of supermasks in superposition."""

    density: PositiveShare = Field(
        0.5, description="Share of the weights of a layer that a model's mask keeps."
    )
    rule: Literal["top_k", "threshold"] = Field(
        "top_k",
        description="Which weights a mask keeps. 'top_k': the density with the largest absolute "
        "scores. 'threshold': those with a score of 0 or more, about half, whatever the density.",
    )
    weights: Literal["constant", "initial"] = Field(
        "constant",
        description="The weights that are masked. 'constant': of one size in a layer, with their "
        "initial signs (the paper). 'initial': as the network was built.",
    )
    infer: Literal["none", "given", "one_shot", "binary"] = Field(
        "none",
        description="How it knows which model a batch is of. 'none': by its task label, and what "
        "has no task labels is refused. 'given': it is told there, too, which makes it a "
        "reference. 'one_shot': it infers that for each batch, by one gradient of the entropy of "
        "the outputs of all masks in superposition. 'binary': by one for each halving of the "
        "masks.",
    )
    infer_from: Count | None = Field(
        None, description="How many samples of a batch decide for all of it. null: all."
    )
    begin: Literal["random", "knn_best", "knn_all"] = Field(
        "random",
        description="The scores that a model begins with. 'knn_best': those of the earlier model "
        "whose features suit its data best (KKT). 'knn_all': their mean over all that suit. "
        "Random where none does.",
    )
    above: Literal["chance", "own"] = Field(
        "chance",
        description="What the accuracy of an earlier model's neighbours has to exceed. 'chance': 1 "
        "/ classes (the paper), which nearly all do. 'own': that of the new model's random mask, "
        "by two standard errors.",
    )
    neighbours: Count = Field(
        20,
        description="k: nearest neighbours that vote; the authors take 200 of a fifth of the data.",
    )
    samples: int = Field(
        1000,
        ge=2,
        strict=True,
        description="Training samples of the new model that are looked at; 66 % vote on the rest.",
    )
    seed: Seed = 0

    def facts(self, facts: Facts) -> Facts:
        """Add what ``begin`` and ``infer`` need; it is not told the model that it infers."""
        return replace(facts, told=facts.told and not self.infers).needing(
            classes=None if self.begin == "random" else f"begin: {self.begin}",
            one_model=f"infer: {self.infer}" if self.infers else None,
            labels="infer: none" if self.infer == "none" else None,
        )

    @property
    def infers(self) -> bool:
        """Whether it finds out itself which model a batch is of."""
        return self.infer in ("one_shot", "binary")

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if self.rule == "threshold" and self.differs("density"):
            raise ValueError("density has no effect with rule: threshold, remove it; or say top_k")
        if not self.infers and self.differs("infer_from"):
            raise ValueError(f"infer_from has no effect with infer: {self.infer}; remove it")
        for name in ("above", "neighbours", "samples"):
            if self.begin == "random" and self.differs(name):
                raise ValueError(
                    f"{name} has no effect with begin: random: remove it, or say knn_best"
                )
        return self


class SupSup(Hooked, Configured):
    """Learn a mask for each model over random weights that never change (SupSup).

    Nothing of the network is trained. The weight W of each linear and convolutional layer is set to
    its initial signs times ``sqrt(2 / fan_in)``. A model learns a score S for each weight, and
    uses ``W * M``: M keeps the ``density`` of a layer's weights with the largest ``|S|``, or with
    ``rule: threshold`` those with S >= 0; gradients pass through M to S. When it has been trained,
    its masks are kept, a bit for each weight, and it is evaluated with them. So nothing is ever
    forgotten, and models share nothing that any of them has learned.

    Heads that grow, normalisation, embeddings and biases stay as they were built (the authors'
    networks have no biases). Running statistics are each model's own, as in the paper: those at
    the end of its training are kept, too.

    It is given which model is evaluated, or infers it for each batch, which has to be of one model:
    with ``infer: one_shot`` as the trained mask with the smallest ``dH/dalpha_i``, H the entropy
    of the outputs of ``W * sum_i alpha_i M_i`` at equal alphas; with ``binary`` by halves. The
    model that trains is always given, so that its curve is its own.

    Scores begin at random, or with ``begin`` as an earlier model's (KKT). On samples of the new
    model, each earlier one i has the accuracy of its neighbours' votes, among its features; see
    ``knn_transfer``. Scores are those of the best one if it suits the data (``knn_best``), or the
    mean over all that do (``knn_all``), in the layers that the earlier model runs. For
    that, the scores of earlier models are kept, too; nothing of them changes.

    Source: Wortsman et al., Supermasks in Superposition, NeurIPS 2020, sections 3.1 to 3.3, and
    its program, github.com/RAIVNLab/supsup; KKT: Yadav & Bansal, Exclusive Supermask Subnetwork
    Training for Continual Learning, Findings of ACL 2023, and github.com/prateeky2806/exessnet.

    Attributes:
        masks: The packed masks of each model that has been trained, by layer.
        statistics: The running statistics at the end of its training, by name.
        scores: With ``begin``, its scores then, by layer.
        neighbour_accuracies: With ``begin``, of each earlier model when the latest one began.
        begins_as: The earlier models whose scores it began with.
        inferred: With ``infer``, how many batches of each model were taken for which, in all
            evaluations since the latest training ended.

    Limits:
        Random weights are what there is: accuracies stay below those of trained weights, and more
        so in small networks. It needs to know which model is evaluated. Class- and
        domain-incremental scenarios have no task labels: there ``infer`` has to say how it knows,
        or it is refused before anything trains; with ``given`` it knows more than a method may
        know, and a report says so. Memory is a bit for each weight and model, and while a model
        trains one score for each weight. Recurrent layers, attention and embeddings are not masked
        and stay as they were built, and so do heads that grow. Running statistics of batch
        normalisation are kept for each model.
    """

    facts = Facts(
        name="supsup",
        summary="a mask for each model over random weights that never change: nothing is forgotten",
        source="Wortsman et al., Supermasks in Superposition, NeurIPS 2020",
        dial=DENSITY,
        memory="linear",
        told=True,
        keeps_statistics=True,
        needs_its_model=True,
        forgets_nothing=True,
        holds_for_good=True,
    )
    Settings = SupSupSettings
    settings: SupSupSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.masks: dict[int, dict[str, Tensor]] = {}
        self.statistics: dict[int, dict[str, Tensor]] = {}
        self.scores: dict[int, dict[str, Tensor]] = {}
        self.neighbour_accuracies: dict[int, float] = {}
        self.begins_as: list[int] = []
        self.inferred: dict[int, dict[int, int]] = {}
        self._labels: dict[int, int] = {}
        self._learning: int | None = None
        self._used: set[str] = set()

    def after_train_dataset_adaptation(
        self, strategy: Any, *arguments: Any, **keywords: Any
    ) -> None:
        """Adapt the model, and take over scores of earlier ones."""
        super().after_train_dataset_adaptation(strategy, *arguments, **keywords)
        if self.settings.begin != "random":
            self._take_over(strategy)

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has nothing to wrap."""
        self.adapt(model, 0)

    def adapt(self, model: nn.Module, index: int) -> None:
        """Wrap the layers, and begin the scores of a model that is to train.

        Raises:
            ValueError: There is no layer that it can act on, or the model is to be inferred of
                several that are no masks of one network.
        """
        if self.settings.infers and _has_several_models(model):
            raise ValueError(
                f"infer: {self.settings.infer} finds out which mask of one network a batch "
                "belongs to, and this network has models or heads of its own for each task label; "
                "say infer: none, or let all experiences share one head"
            )
        density = None if self.settings.rule == "threshold" else self.settings.density
        for layer in add_masks(model, density):
            if self.settings.weights == "constant":
                make_signed_constant(layer)
        layers = masked_layers(model)
        if not layers:
            raise ValueError(
                f"{type(self).__name__} masks the weights of linear layers and convolutions, and "
                "the network has none that it can wrap"
            )
        for name, parameter in model.named_parameters():
            if ".scores." not in f".{name}":
                parameter.requires_grad_(False)
        if self.begins_training:
            self._learning, self._used = index, set()
            for place, layer in enumerate(layers.values()):
                layer.begin(index, seeded(self.settings.seed, index, place))
                self.begun(layer, index)

    def begun(self, layer: MaskedLayer, index: int) -> None:
        """Change the scores that a model begins with; by default nothing.

        Args:
            layer: One of the network's, with ``layer.scores[str(index)]``.
            index: The model to be trained.
        """

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which layers the model uses: those whose scores have a gradient."""
        for name, layer in masked_layers(strategy.model).items():
            if layer.learns is not None and layer.scores[str(layer.learns)].grad is not None:
                self._used.add(name)

    def used(self, model: nn.Module) -> dict[str, MaskedLayer]:
        """Return the masked layers that the model under training uses, by name."""
        return {n: layer for n, layer in masked_layers(model).items() if n in self._used}

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return 0: no model changes anything but its own scores."""
        return {name: 0.0 for name, _ in model.named_parameters()}

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the masks in place of the scores, and the running statistics."""
        index = int(strategy.experience.current_experience)
        self.ended(strategy.model, index)
        ends = {name: layer.end() for name, layer in masked_layers(strategy.model).items()}
        self.masks[index] = {name: ends[name] for name in ends if name in self._used}

    def ended(self, model: nn.Module, index: int) -> None:
        """Keep a trained model's statistics and, with ``begin``, its scores."""
        self.statistics[index] = copied(running_statistics(model))
        if self.settings.begin != "random":
            layers = self.used(model).items()
            self.scores[index] = {n: own.scores[str(index)].detach().clone() for n, own in layers}
        self._learning = None
        self.inferred = {}

    def evaluating(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        """Return a context with the masks and statistics of a model that has been trained."""
        if index == self._learning:
            return nullcontext()
        if self.settings.infers and self.masks:
            return self._inferring(model, index)
        return self._as(model, index)

    def _as(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        if index not in self.masks:
            return nullcontext()
        return applied(model, self.masks[index], self.statistics[index])

    @contextmanager
    def _inferring(self, model: nn.Module, index: int) -> Iterator[None]:
        """Infer the model of each batch; what looks at single layers has the one that is asked."""
        found = self.inferred.setdefault(index, {})

        def call(_: nn.Module, forward: Callable[..., Tensor], x: Tensor, *labels: Any) -> Tensor:
            some = slice(self.settings.infer_from)
            part = [own[some] if isinstance(own, Tensor) else own for own in (x, *labels)]
            halve = self.settings.infer == "binary"
            logits = partial(forward, *part)
            chosen = inferred(model, logits, self.masks, self.statistics, halve=halve)
            found[chosen] = found.get(chosen, 0) + 1
            with self._as(model, chosen):
                return forward(x, *labels)

        with self._as(model, index), replaced_forward([model], call):
            yield

    @torch.no_grad()
    def _take_over(self, strategy: Any) -> None:
        """Let a model begin with scores of earlier ones, where their features suit its data."""
        settings, model = self.settings, strategy.model
        index = int(strategy.experience.current_experience)
        seed = np.random.SeedSequence([settings.seed, index], spawn_key=(0,)).generate_state(2)
        drawing = torch.Generator().manual_seed(int(seed[0]))
        x, y, labels = draw(strategy.adapted_dataset, settings.samples, drawing)
        x, y = x.to(strategy.device), y.to(strategy.device)
        self._labels[index] = int(labels[0])
        looks: dict[int, Look] = {}
        for i in sorted({*self.scores, index}):
            with nullcontext() if i == index else self._as(model, i):
                run = Network(model, self._labels[i])
                looks[i] = look(model, run, x, y, settings.neighbours, int(seed[1]))
        own = looks.pop(index)
        self.neighbour_accuracies = {i: seen.accuracy for i, seen in looks.items()}
        suited = [i for i, seen in looks.items() if seen.suits(own, settings.above)]
        if settings.begin == "knn_best":
            suited = [max(suited, key=lambda i: looks[i].accuracy)] if suited else []
        self.begins_as = suited
        for name, layer in masked_layers(model).items():
            sources = [self.scores[i][name] for i in suited if name in self.scores[i]]
            if sources:
                layer.scores[str(index)].copy_(torch.stack(sources).mean(dim=0))


def _has_several_models(model: nn.Module) -> bool:
    return isinstance(model, MultiTaskModule) and len(model.known_train_tasks_labels) > 1
