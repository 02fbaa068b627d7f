"""The tiny models that the kit trains, and their data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.generators import seed_torch
from benchmark.models.bank import ModelBank

FEATURES, CLASSES, HIDDEN, SAMPLES = 6, 4, 8, 40


def bank() -> ModelBank:
    """Return three models: all share y; the first and third share x."""
    seed_torch(0)
    blocks = {name: _hidden(FEATURES) for name in "xz"} | {"y": _hidden(HIDDEN)}
    heads = {name: nn.Linear(HIDDEN, CLASSES) for name in "abc"}
    paths = (("x", "y", "a"), ("z", "y", "b"), ("x", "y", "c"))
    return ModelBank(blocks | heads, paths, CLASSES)


def normalised() -> nn.Module:
    """Return a model that is not a bank, with batch normalisation and then dropout."""
    seed_torch(0)
    return nn.Sequential(
        nn.Linear(FEATURES, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.Linear(HIDDEN, CLASSES),
    )


def shared_bank() -> ModelBank:
    """Return two models that share all but their heads."""
    seed_torch(0)
    blocks = {"x": _hidden(FEATURES), "y": _hidden(HIDDEN)}
    heads = {name: nn.Linear(HIDDEN, CLASSES) for name in "ab"}
    return ModelBank(blocks | heads, [("x", "y", "a"), ("x", "y", "b")], CLASSES)


def ordinary(width: int = HIDDEN) -> nn.Module:
    """Return a model that is not a bank: every experience trains all of it.

    Args:
        width: Hidden units.
    """
    seed_torch(0)
    return nn.Sequential(_hidden(FEATURES, width), nn.Linear(width, CLASSES))


def _hidden(size: int, width: int = HIDDEN) -> nn.Module:
    return nn.Sequential(nn.Linear(size, width), nn.Tanh())


def data(models: int) -> list[tuple[Tensor, Tensor]]:
    """Return inputs (N, features) and labels (N,) for each model; each has its own linear rule."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(models):
        x = torch.randn(SAMPLES, FEATURES, generator=generator)
        y = (x @ torch.randn(FEATURES, CLASSES, generator=generator)).argmax(dim=1)
        y[:CLASSES] = torch.arange(CLASSES)  # every class occurs
        parts.append((x, y))
    return parts
