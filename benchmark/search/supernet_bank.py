"""The architectures of a supernet as the models of a bank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.search.supernets.supernet import Architecture, Space, Supernet


class SupernetBank(ModelBank):
    """A supernet with a slot for each task label.

    A slot stands for one architecture at a time, and for others later. So a bank of a few slots is
    enough for spaces of any size.

    Args:
        supernets: One that all slots share, or one for each slot, with weights of its own.
        architectures: The first architecture of each slot.

    Attributes:
        architectures: The current architecture of each slot. Whoever changes it decides what is
            trained and evaluated next.

    Raises:
        ValueError: An architecture is not in the space.
    """

    of_blocks = False

    def __init__(
        self, supernets: Sequence[Supernet], architectures: Sequence[Architecture]
    ) -> None:
        names = [f"supernet_{i}" for i in range(len(supernets))]
        paths = [names if len(names) == 1 else [names[slot]] for slot in range(len(architectures))]
        super().__init__(dict(zip(names, supernets, strict=True)), paths, supernets[0].n_classes)
        self.architectures = [tuple(each) for each in architectures]
        for each in self.architectures:
            self.space.check(each)

    @property
    def space(self) -> Space:
        """The space of the supernet's architectures."""
        return self.supernet(0).space

    def supernet(self, slot: int) -> Supernet:
        """Return the network that a slot runs."""
        (name,) = self.paths[slot]
        found = self.blocks[name]
        assert isinstance(found, Supernet)
        return found

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Run the architecture of a slot on inputs (N, ...)."""
        found: Tensor = self.supernet(task_label)(x, self.architectures[task_label])
        return found

    def run(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Run any architecture on inputs (N, ...), with the weights that all slots share.

        Raises:
            ValueError: Each slot has weights of its own, and none stands for it.
        """
        slot = 0
        if len(self.blocks) > 1:
            if architecture not in self.architectures:
                raise ValueError(f"no weights belong to the architecture {architecture}")
            slot = self.architectures.index(architecture)
        found: Tensor = self.supernet(slot)(x, architecture)
        return found

    def architecture_of(self, label: int) -> Architecture:
        """Return the current architecture of a slot."""
        return self.architectures[label]

    def distance(self, a: Architecture, b: Architecture) -> float:
        """Return the share of choices in which two architectures differ, in [0, 1]."""
        return self.space.distance(a, b)

    def sample_architecture(self, generator: np.random.Generator) -> Architecture:
        """Draw an architecture of the space, each with the same probability."""
        return self.space.sample(generator)

    def options(self) -> tuple[int, ...]:
        """Return the number of options of each decision; decisions are independent."""
        return self.space.options

    def edges(self) -> frozenset[str]:
        """Return the names in the bank of the parameters that belong to a choice."""
        return frozenset(
            f"blocks.{block}.{name}"
            for block, supernet in self.blocks.items()
            if isinstance(supernet, Supernet)
            for name in supernet.edges()
        )

    def parameters_of(self, model: int) -> dict[str, nn.Parameter]:
        """Return the parameters of a slot's current architecture, by their name in the bank."""
        (block,) = self.paths[model]
        used = self.supernet(model).used(self.architectures[model])
        named = self.blocks[block].named_parameters()
        return {f"blocks.{block}.{name}": p for name, p in named if name in used}
