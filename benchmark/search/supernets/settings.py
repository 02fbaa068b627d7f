"""The supernets that a suite can name, with their settings; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.search.supernets.spaces import (
    ACTIVATIONS,
    MICRO_OPERATIONS,
    OPERATIONS,
    ConvolutionalSpace,
    MicroSpace,
    RecurrentSpace,
)
from palimpsest.benchmark.settings.values import BY_NAME, Fraction, Settings

Normalisation = Literal["batch", "layer", "none"]
_MOST_WEIGHTS = 10**9
"""The limit of a supernet: 4 GB, and as much for gradients and the optimizer's state."""


def _numbered(options: Sequence[str]) -> str:
    return ", ".join(f"{number} {option}" for number, option in enumerate(options))


def _count(least: int, most: int, default: int, description: str) -> int:
    """Return the field of a whole number with limits."""
    field: int = Field(default, ge=least, le=most, strict=True, description=description)
    return field


class ConvolutionalCell(Settings):
    """One cell in which every edge is one of four operations, for small images."""

    name: Literal["convolutional_cell"] = "convolutional_cell"
    nodes: int = _count(2, 8, 3, "Of the cell, with its input: 3 make 64 architectures, 4 4096.")
    channels: int = _count(1, 4096, 16, "Of each node.")
    stride: int = _count(1, 4, 1, "Of the stem: 2 halves the images.")
    normalisation: Normalisation = Field(
        "batch", description="After each convolution (see Normalisation)."
    )

    data: ClassVar[str] = "images"
    decisions: ClassVar[str] = (
        f"the operation of each edge, in the order 0-1, 0-2, 1-2, 0-3, ...: {_numbered(OPERATIONS)}"
    )

    def space(self) -> ConvolutionalSpace:
        """Return its architectures."""
        return ConvolutionalSpace(self.nodes)


class Dropout(Settings):
    """The shares that are dropped while a recurrent supernet trains; the rest is scaled up."""

    embedding: Fraction = Field(0.1, description="Of the words of the vocabulary.")
    input: Fraction = Field(
        0.65, description="Of a sequence's embedded words, the same elements at all time steps."
    )
    output: Fraction = Field(0.4, description="Of the outputs of the cell, likewise.")
    weights: Fraction = Field(
        0.5, description="Of the recurrent weights, the same at all time steps (DropConnect)."
    )


class RecurrentCell(Settings):
    """ENAS's recurrent cell as a language model."""

    name: Literal["recurrent_cell"] = "recurrent_cell"
    nodes: int = _count(1, 64, 4, "Of the cell; published: 12.")
    hidden: int = _count(1, 16384, 48, "Units of a node, and of a word's vector; published: 1000.")
    first_activation: Literal["tanh", "relu", "identity", "sigmoid"] | None = Field(
        None, description="Of node 0; null: it is chosen, too. 3 nodes and tanh: 32 architectures."
    )
    feedback: Literal["last", "leaves"] = Field(
        "last",
        description="The state that is passed on. last: that of the last node, as in the code of "
        "Benyahia et al. leaves: the mean of all nodes that are nobody's parent, as in ENAS.",
    )
    normalisation: Normalisation = Field(
        "batch", description="Of the cell's outputs, at each time step (see Normalisation)."
    )
    dropout: Dropout = Field(Dropout(), description="While it trains.")

    data: ClassVar[str] = "text"
    decisions: ClassVar[str] = (
        "the activation of node 0 (unless first_activation fixes it), then of nodes 1, 2, ... the "
        f"parent, by its number, and the activation: {_numbered(ACTIVATIONS)}"
    )

    @model_validator(mode="after")
    def _fits_a_machine(self) -> Self:
        matrices = 4 + self.nodes * (self.nodes - 1)
        _check_weights("hidden", self.hidden, matrices * self.hidden**2)
        return self

    def space(self) -> RecurrentSpace:
        """Return its architectures."""
        return RecurrentSpace(self.nodes, self.first_activation)


class MicroCell(Settings):
    """ENAS's micro search space: stages of normal cells, with reduction cells between them."""

    name: Literal["micro_cell"] = "micro_cell"
    nodes: int = _count(1, 32, 2, "Inner nodes of a cell; published: 5.")
    repeats: int = _count(1, 32, 1, "Normal cells of a stage; published: 5.")
    stages: int = _count(1, 6, 3, "How often the normal cells come; images are halved between.")
    filters: int = _count(
        1,
        2**14,
        24,
        "Channels of the last stage, halved at each earlier one; published: 384. In the first "
        "stage a multiple of the images' channels.",
    )
    normalisation: Normalisation = Field(
        "batch", description="After each convolution (see Normalisation)."
    )

    data: ClassVar[str] = "images"
    decisions: ClassVar[str] = (
        "for each inner node of the normal cell, then of the reduction cell, twice: the source, by "
        f"its number, and the operation: {_numbered(MICRO_OPERATIONS)}"
    )

    @model_validator(mode="after")
    def _fits_a_machine(self) -> Self:
        cells = self.stages * (self.repeats + 1)
        sources = (self.nodes + 3) * self.nodes // 2
        _check_weights("filters", self.filters, cells * sources * (9 + 25 + 4) * self.filters)
        return self

    def space(self) -> MicroSpace:
        """Return its architectures."""
        return MicroSpace(self.nodes)


def _check_weights(name: str, value: int, weights: int) -> None:
    if weights > _MOST_WEIGHTS:
        raise ValueError(
            f"{name} {value} makes {weights:,} weights, {4 * weights / 1e9:,.0f} GB; expected at "
            f"most {_MOST_WEIGHTS:,}: take less, or fewer nodes"
        )


SupernetChoice = Annotated[
    Annotated[ConvolutionalCell | RecurrentCell | MicroCell, Field(discriminator="name")], BY_NAME
]
"""A supernet by its name, with its settings."""
