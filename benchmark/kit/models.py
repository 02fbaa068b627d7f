"""The tiny models that the kit trains, and their data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from palimpsest.benchmark.models.bank import ModelBank

FEATURES, CLASSES, HIDDEN, SAMPLES = 6, 4, 8, 40

Architecture = tuple[int, ...]


class TinySupernet(ModelBank):
    """A bank whose models are architectures: at each place of a path, one block of several.

    To most strategies it is any bank. Those for architecture searches find in it what
    ``strategies.base.architectures`` asks for. The blocks before the last place are the edges.
    """

    @property
    def _options(self) -> list[list[str]]:
        return [list(dict.fromkeys(place)) for place in zip(*self.paths, strict=True)]

    def architecture_of(self, label: int) -> Architecture:
        """Return which of the blocks at each place a model has."""
        pairs = zip(self._options, self.paths[label], strict=True)
        return tuple(options.index(name) for options, name in pairs)

    def run(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return the outputs of an architecture."""
        for options, choice in zip(self._options, architecture, strict=True):
            x = self.blocks[options[choice]](x)
        return x

    def distance(self, a: Architecture, b: Architecture) -> float:
        """Return the share of places at which two architectures differ."""
        return float(np.mean([one != other for one, other in zip(a, b, strict=True)]))

    def sample_architecture(self, generator: np.random.Generator) -> Architecture:
        """Draw one."""
        return tuple(int(generator.integers(len(options))) for options in self._options)

    def options(self) -> tuple[int, ...]:
        """Return how many blocks there are for each place."""
        return tuple(map(len, self._options))

    def edges(self) -> frozenset[str]:
        """Return the names of the parameters of all blocks but those at the last place."""
        heads = tuple(f"blocks.{path[-1]}." for path in self.paths)
        return frozenset(n for n, _ in self.named_parameters() if not n.startswith(heads))


class OnlyArchitecture(nn.Sequential):
    """An ordinary network, as a supernet of one architecture."""

    def architecture_of(self, label: int) -> Architecture:
        """Return it."""
        return (0,)

    def run(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return its outputs."""
        outputs: Tensor = self(x)
        return outputs

    def distance(self, a: Architecture, b: Architecture) -> float:
        """Return 0."""
        return 0.0

    def sample_architecture(self, generator: np.random.Generator) -> Architecture:
        """Return it."""
        return (0,)

    def options(self) -> tuple[int, ...]:
        """Return that there is nothing to decide."""
        return (1,)

    def edges(self) -> frozenset[str]:
        """Return the names of all parameters."""
        return frozenset(name for name, _ in self.named_parameters())


def bank() -> ModelBank:
    """Return three models: all share y; the first and third share x."""
    torch.manual_seed(0)
    blocks = {name: hidden(FEATURES) for name in "xz"} | {"y": hidden(HIDDEN)}
    heads = {name: nn.Linear(HIDDEN, CLASSES) for name in "abc"}
    paths = (("x", "y", "a"), ("z", "y", "b"), ("x", "y", "c"))
    return TinySupernet(blocks | heads, paths, CLASSES)


def normalised() -> nn.Module:
    """Return a model that is not a bank, with batch normalisation and then dropout."""
    torch.manual_seed(0)
    return OnlyArchitecture(
        nn.Linear(FEATURES, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.Linear(HIDDEN, CLASSES),
    )


def shared_bank() -> ModelBank:
    """Return two models that share all but their heads."""
    torch.manual_seed(0)
    blocks = {"x": hidden(FEATURES), "y": hidden(HIDDEN)}
    heads = {name: nn.Linear(HIDDEN, CLASSES) for name in "ab"}
    return TinySupernet(blocks | heads, [("x", "y", "a"), ("x", "y", "b")], CLASSES)


def ordinary(width: int = HIDDEN) -> nn.Module:
    """Return a model that is not a bank: every experience trains all of it."""
    torch.manual_seed(0)
    return OnlyArchitecture(hidden(FEATURES, width), nn.Linear(width, CLASSES))


def hidden(size: int, width: int = HIDDEN) -> nn.Module:
    """Return a hidden layer."""
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
