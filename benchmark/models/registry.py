"""The networks that have names of their own in a suite; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

TORCHVISION, AVALANCHE, MODULE = "torchvision:", "avalanche:", "module:"
PREFIXES = (TORCHVISION, AVALANCHE, MODULE)
"""The prefixes of networks from other libraries."""


@dataclass(frozen=True)
class NetworkEntry:
    """One network that can be named in a suite.

    Attributes:
        name: What a suite calls it.
        function_name: A class or function that returns the network, an ``nn.Module`` from images
            (N, C, H, W) to logits (N, classes). If it has the required parameters ``input_shape``
            (channels, height, width) and ``n_classes``, it is given them.
        module: The module that defines it.
        summary: One line for listings.
        source: Where it was published.
    """

    name: str
    function_name: str
    module: str
    summary: str = ""
    source: str = ""

    def load(self) -> Callable[..., Any]:
        """Import the class or function."""
        found: Callable[..., Any] = getattr(import_module(self.module), self.function_name)
        return found


_ALL = (
    NetworkEntry(
        "reduced_resnet18",
        "ReducedResNet18",
        "palimpsest.benchmark.models.reduced_resnet",
        "ResNet-18 with fewer channels (arguments: width) and 3x3 pixels at its start",
        "Lopez-Paz and Ranzato, NeurIPS 2017",
    ),
    NetworkEntry(
        "alexnet_like",
        "AlexNetLike",
        "palimpsest.benchmark.models.alexnet",
        "three convolutions and two wide layers, with dropout (arguments: width, dropout)",
        "Serra et al., ICML 2018; Konishi et al., ICML 2023",
    ),
)

NETWORKS: dict[str, NetworkEntry] = {entry.name: entry for entry in _ALL}
"""By name; plugins add theirs."""
