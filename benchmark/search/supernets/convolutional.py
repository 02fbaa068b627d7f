"""The small convolutional supernet: one cell, whose edges are each one of four operations."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.benchmark.search.supernets.normalising import of_images
from palimpsest.benchmark.search.supernets.settings import ConvolutionalCell
from palimpsest.benchmark.search.supernets.space import Architecture
from palimpsest.benchmark.search.supernets.spaces import OPERATIONS, ConvolutionalSpace, edge_name
from palimpsest.benchmark.search.supernets.supernet import Supernet

_KERNELS = {"conv1x1": 1, "conv3x3": 3}


class ConvolutionalSupernet(Supernet):
    """A stem, one cell and a linear head, for small images.

    ``node_0 = stem(x)``, ``node_j = sum_(i < j) operation_ij(node_i)``, and the logits are those of
    the mean over all pixels of ``relu(node_(N - 1))``. The stem is a 3x3 convolution and
    normalisation; convolutions of the cell are ReLU, convolution and normalisation; the average
    pooling counts no padding. So the cell is that of NAS-Bench-201 (Dong and Yang, ICLR 2020), but
    with one operation less, and there is one.
    """

    space: ConvolutionalSpace

    def __init__(
        self, settings: ConvolutionalCell, input_shape: tuple[int, int, int], n_classes: int
    ) -> None:
        space, channels = settings.space(), settings.channels
        super().__init__(space, n_classes)
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], channels, 3, settings.stride, padding=1, bias=False),
            of_images(settings.normalisation, channels),
        )
        for edge in space.edges:
            for name, kernel in _KERNELS.items():
                self.choices[f"{edge_name(*edge)}_{name}"] = nn.Sequential(
                    nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False),
                    of_images(settings.normalisation, channels),
                )
        self.head = nn.Linear(channels, n_classes)

    def chosen(self, architecture: Architecture) -> Iterator[str]:
        """Yield the names of the convolutions that an architecture has."""
        for edge, taken in zip(self.space.edges, architecture, strict=True):
            if OPERATIONS[taken] in _KERNELS:
                yield f"{edge_name(*edge)}_{OPERATIONS[taken]}"

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return the logits (N, classes) of images (N, C, H, W)."""
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)  # which convolutions take faster
        stem = self.stem(x)
        if x.device.type == "cpu":
            stem = stem.contiguous(memory_format=torch.channels_last)  # lost where x has 1 channel
        nodes = [stem]
        active: dict[int, Tensor] = {}
        taken = iter(architecture)
        for target in range(1, self.space.nodes):
            total: Tensor | None = None
            for source in range(target):
                operation = OPERATIONS[next(taken)]
                value = nodes[source]
                if operation in _KERNELS:
                    if source not in active:
                        active[source] = functional.relu(value)
                    convolve = self.choices[f"{edge_name(source, target)}_{operation}"]
                    value = convolve(active[source])
                elif operation == "avg_pool3x3":
                    value = functional.avg_pool2d(value, 3, 1, 1, count_include_pad=False)
                total = value if total is None else total + value
            nodes.append(total)
        logits: Tensor = self.head(functional.relu(nodes[-1]).mean(dim=(-2, -1)))
        return logits
