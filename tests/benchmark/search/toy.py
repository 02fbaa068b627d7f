"""A tiny supernet, as a family of its own: a plugin file."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from palimpsest.benchmark.search.architecture_search import ArchitectureSearch
from palimpsest.benchmark.search.supernets.supernet import Space, Supernet
from palimpsest.benchmark.settings.values import Settings


class Grid(Space):
    """As many decisions as there are options given."""

    def choices(self, a):
        return a

    def text(self, a):
        return "-".join(map(str, a))


class Toy(Supernet):
    """Two hidden layers of a small network, each one of several."""

    def __init__(self, pixels, n_classes, options, width):
        super().__init__(Grid(options), n_classes)
        self.first = nn.Linear(pixels, width)
        for layer, count in enumerate(options):
            for option in range(count):
                self.choices[f"{layer}_{option}"] = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, n_classes)

    def chosen(self, architecture):
        return [f"{layer}_{option}" for layer, option in enumerate(architecture)]

    def forward(self, x, architecture):
        x = self.first(x.flatten(1))
        for name in self.chosen(architecture):
            x = self.dropout(self.choices[name](torch.tanh(x)))
        return self.head(torch.tanh(x))


class ToySettings(Settings):
    name: Literal["toy"] = "toy"
    options: tuple[int, ...] = (3, 3)
    units: int = 8


class ToySearch(ArchitectureSearch):
    """A search in a tiny space."""

    family: Literal["toy_search"] = "toy_search"
    supernet: ToySettings = Field(ToySettings(), description="The supernet.")

    def make_supernet(self, input_shape, n_classes):
        pixels = input_shape[0] * input_shape[1] * input_shape[2]
        return Toy(pixels, n_classes, self.supernet.options, self.supernet.units)


SCENARIOS = [ToySearch]
