"""Which earlier model's mask suits new data: nearest neighbours among its features (KKT).

Features are what the last linear layer or convolution to run is given, flattened: the penultimate
representation, after its activation. Part of the samples vote on the labels of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from palimpsest.strategies.base.network import evaluation_mode
from palimpsest.strategies.masks.weight_masks import LAYERS

VOTING = 0.66
"""The share of the samples that vote on the others, as in the authors' program."""

_BLOCK = 256
"""Samples of one pass: the distances of all would not fit into memory."""


@dataclass(frozen=True)
class Look:
    """How well a model's features suit data.

    Attributes:
        accuracy: Of the neighbours' votes, from 0 to 1.
        asked: How many samples they voted on.
        classes: How many classes the data have.
    """

    accuracy: float
    asked: int
    classes: int

    def suits(self, own: Look, above: Literal["chance", "own"]) -> bool:
        """Whether it is better than chance, or clearly better than the new model's own features.

        Args:
            own: Of the new model as it begins.
            above: ``chance``: ``1 / classes``. ``own``: its accuracy, and two standard errors
                of a difference of such shares.
        """
        if above == "chance":
            return self.accuracy > 1 / self.classes
        mean = (self.accuracy + own.accuracy) / 2
        return self.accuracy > own.accuracy + 2 * math.sqrt(2 * mean * (1 - mean) / self.asked)


def look(
    model: nn.Module,
    run: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    neighbours: int,
    seed: int,
) -> Look:
    """Return how well the features of a model suit samples; nothing of the network changes.

    Args:
        model: The network.
        run: Runs it, or one of its models, on a batch.
        x: Samples (N, ...), at least two.
        y: Their classes (N,).
        neighbours: How many vote on a sample.
        seed: Of the choice of the samples that vote.
    """
    features = penultimate(model, run, x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    count = min(len(x) - 1, math.ceil(VOTING * len(x)))
    voting, asked = order[:count], order[count:]
    found = voted(features[voting], y[voting], features[asked], neighbours)
    accuracy = int((found == y[asked]).sum()) / len(asked)
    return Look(accuracy, len(asked), len(torch.unique(y)))


def voted(known: Tensor, labels: Tensor, asked: Tensor, neighbours: int) -> Tensor:
    """Return the majority's label of the nearest neighbours (m,); of equal ones the smallest.

    Args:
        known: Features (n, d), compared by Euclidean distance.
        labels: Theirs (n,).
        asked: Features (m, d).
        neighbours: How many vote, at most n.
    """
    classes = int(labels.max()) + 1
    rank = torch.arange(classes, device=labels.device)
    found = []
    for part in torch.split(asked, _BLOCK):
        nearest = torch.cdist(part, known).topk(min(neighbours, len(known)), largest=False)
        votes = one_hot(labels[nearest.indices], classes).sum(dim=1)
        found.append((votes * classes - rank).argmax(dim=1))
    return torch.cat(found)


@torch.no_grad()
def penultimate(model: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the features of samples (N, d).

    Args:
        model: The network, which runs in evaluation mode.
        run: Runs it, or one of its models, on a batch.
        x: Samples (N, ...).
    """
    ran: dict[str, Tensor] = {}

    def note(name: str, inputs: Tensor) -> None:
        ran.pop(name, None)
        ran[name] = inputs

    handles = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: note(name, inputs[0]))
        for name, layer in model.named_modules()
        if type(layer) in LAYERS
    ]
    found = []
    try:
        with evaluation_mode(model):
            for part in torch.split(x, _BLOCK):
                run(part)
                found.append(ran[[*ran][-1]].flatten(1))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(found)
