"""ENAS's micro search space: a stack of cells of two kinds, each with one structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.search.supernets.normalising import of_images
from palimpsest.benchmark.search.supernets.settings import MicroCell, Normalisation
from palimpsest.benchmark.search.supernets.space import Architecture
from palimpsest.benchmark.search.supernets.spaces import (
    MICRO_INPUTS,
    MICRO_OPERATIONS,
    MicroNodes,
    MicroSpace,
)
from palimpsest.benchmark.search.supernets.supernet import Supernet

_KERNELS = {"depthwise_conv3x3": 3, "depthwise_conv5x5": 5}


def stage_filters(filters: int, stages: int) -> list[int]:
    """Return the channels of each stage: those of the last one, halved at every earlier one."""
    return [filters // 2**before for before in reversed(range(stages))]


@dataclass(frozen=True)
class _Place:
    """One cell in the stack."""

    reduces: bool
    strides: tuple[int, int]
    sources: tuple[int, int]
    filters: int

    def stride_from(self, node: int) -> int:
        return self.strides[node] if node < MICRO_INPUTS else 1

    def channels_from(self, node: int) -> int:
        return self.sources[node] if node < MICRO_INPUTS else self.filters


class MicroSupernet(Supernet):
    """Stages of normal cells with a reduction cell between two stages, and a linear head.

    Cell k takes the outputs of cells k - 2 and k - 1; the first two take the images, there is no
    stem. A node is the mean of its two inputs after their operations, and the last node is the
    cell's output; nodes that do not lead to it are not computed. Depthwise convolutions are
    ReLU, convolution and normalisation. Where there are more channels than before, channels are
    repeated: the input's after an operation without weights, and a convolution has several filters
    for each. An input of twice the size is halved by the stride of its operation. The head
    takes all pixels. Every (cell, source, node, operation) has weights of its own, in all cells.

    Source: the code of Benyahia et al., Overcoming multi-model forgetting, ICML 2019, which differs
    from Pham et al., ICML 2018, in that: no stem, no auxiliary head, no 1x1 convolutions before a
    cell, depthwise convolutions that are not separable, the mean for the sum, and the last node for
    all that nobody uses.

    Raises:
        UserError: The channels of a stage are no multiple of those before.
    """

    space: MicroSpace

    def __init__(
        self, settings: MicroCell, input_shape: tuple[int, int, int], n_classes: int
    ) -> None:
        space, stages, filters = settings.space(), settings.stages, settings.filters
        super().__init__(space, n_classes)
        channels, *size = input_shape
        factor = channels * 2 ** (stages - 1)
        if filters % factor:
            raise UserError(
                f"filters is {filters}; expected a multiple of {factor}, so that the {channels} "
                f"channels of the images can be repeated in the first of {stages} stages"
            )
        self.places = tuple(_places(channels, settings.repeats, stage_filters(filters, stages)))
        for number, place in enumerate(self.places):
            for node in range(MICRO_INPUTS, MICRO_INPUTS + space.nodes):
                for source in range(node):
                    for name, kernel in _KERNELS.items():
                        self.choices[_key(number, source, node, name)] = _convolution(
                            place, source, kernel, settings.normalisation
                        )
        for _ in range(stages - 1):
            size = [-(-length // 2) for length in size]
        self.head = nn.Linear(filters * size[0] * size[1], n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def chosen(self, architecture: Architecture) -> Iterator[str]:
        """Yield the names of the convolutions on which the logits depend."""
        cells = self.space.cells(architecture)
        needed = {len(self.places) - 1}
        for number in reversed(range(len(self.places))):
            if number not in needed:
                continue
            cell = cells[self.places[number].reduces]
            for node in _computed(cell):
                for source, operation in cell[node - MICRO_INPUTS]:
                    if MICRO_OPERATIONS[operation] in _KERNELS:
                        yield _key(number, source, node, MICRO_OPERATIONS[operation])
                    if source < MICRO_INPUTS:
                        needed.add(number - MICRO_INPUTS + source)

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return the logits (N, classes) of images (N, C, H, W)."""
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)  # which convolutions take faster
        cells = self.space.cells(architecture)
        before, last = x, x
        for number, place in enumerate(self.places):
            before, last = last, self._run(number, cells[place.reduces], (before, last))
        logits: Tensor = self.head(last.flatten(1))
        return logits

    def _run(self, number: int, cell: MicroNodes, inputs: tuple[Tensor, Tensor]) -> Tensor:
        nodes = dict(enumerate(inputs))
        active: dict[int, Tensor] = {}
        for node in _computed(cell):
            values = []
            for source, operation in cell[node - MICRO_INPUTS]:
                name = MICRO_OPERATIONS[operation]
                if name in _KERNELS:
                    if source not in active:
                        active[source] = functional.relu(nodes[source])
                    values.append(self.choices[_key(number, source, node, name)](active[source]))
                else:
                    values.append(_unweighted(name, self.places[number], source, nodes[source]))
            first, second = values
            nodes[node] = (first + second) / 2
        return nodes[MICRO_INPUTS + len(cell) - 1]


def _places(channels: int, repeats: int, filters: list[int]) -> Iterator[_Place]:
    """Yield the cells from the images on."""
    sizes = [0, 0]  # how often the two inputs of the next cell were halved
    sources = [channels, channels]
    for stage, own in enumerate(filters):
        for reduces in [True] * (stage > 0) + [False] * repeats:
            first, second = (2 ** (stage - halved) for halved in sizes)
            yield _Place(reduces, (first, second), (sources[0], sources[1]), own)
            sizes = [sizes[1], stage]
            sources = [sources[1], own]


def _key(cell: int, source: int, node: int, operation: str) -> str:
    return f"{cell}_{source}-{node}_{operation}"


def _computed(cell: MicroNodes) -> list[int]:
    """Return the inner nodes that lead to the last one, in order."""
    needed = {MICRO_INPUTS + len(cell) - 1}
    for node in reversed(range(MICRO_INPUTS, MICRO_INPUTS + len(cell))):
        if node in needed:
            needed |= {source for source, _ in cell[node - MICRO_INPUTS]}
    return sorted(node for node in needed if node >= MICRO_INPUTS)


def _convolution(
    place: _Place, source: int, kernel: int, normalisation: Normalisation
) -> nn.Module:
    channels = place.channels_from(source)
    return nn.Sequential(
        nn.Conv2d(
            channels,
            place.filters,
            kernel,
            stride=place.stride_from(source),
            padding=kernel // 2,
            groups=channels,
            bias=False,
        ),
        of_images(normalisation, place.filters),
    )


def _unweighted(name: str, place: _Place, source: int, x: Tensor) -> Tensor:
    """Pool or halve feature maps, and repeat their channels."""
    stride = place.stride_from(source)
    if name == "avg_pool3x3":
        x = functional.avg_pool2d(x, 3, stride, 1)
    elif name == "max_pool3x3":
        x = functional.max_pool2d(x, 3, stride, 1)
    elif stride > 1:
        x = x[..., ::stride, ::stride]
    times = place.filters // place.channels_from(source)
    return x if times == 1 else x.repeat(1, times, 1, 1)
