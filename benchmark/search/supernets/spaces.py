"""The spaces of the three supernets; importing this needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from palimpsest.benchmark.search.supernets.space import Architecture, Space

OPERATIONS = ("identity", "avg_pool3x3", "conv1x1", "conv3x3")
"""The options of an edge of the small convolutional cell."""

ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")
"""The options of a node of the recurrent cell."""

MICRO_OPERATIONS = (
    "identity",
    "avg_pool3x3",
    "max_pool3x3",
    "depthwise_conv3x3",
    "depthwise_conv5x5",
)
"""The options for an input of a node of the micro cell."""

MICRO_INPUTS = 2
"""The inputs of a micro cell: the outputs of the two cells before it."""


def edge_name(source: int, target: int) -> str:
    """Return the name of an edge between two nodes."""
    return f"{source}-{target}"


class ConvolutionalSpace(Space):
    """Every edge of a complete graph of nodes has one of four operations: 4^(N (N - 1) / 2).

    A decision is the operation of an edge; edges are in the order of their target, then of their
    source: 0-1, 0-2, 1-2 for three nodes.

    Args:
        nodes: N, with the input node.
    """

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.edges = tuple((i, j) for j in range(1, nodes) for i in range(j))
        super().__init__([len(OPERATIONS)] * len(self.edges))

    def choices(self, a: Architecture) -> Sequence[Hashable]:
        """Return the operation of each edge."""
        return a

    def text(self, a: Architecture) -> str:
        """Return such as ``0-1 identity, 0-2 conv3x3, 1-2 conv1x1``."""
        named = zip(self.edges, a, strict=True)
        return ", ".join(f"{edge_name(*edge)} {OPERATIONS[taken]}" for edge, taken in named)


@dataclass(frozen=True)
class RecurrentTree:
    """An architecture of the recurrent space, decoded.

    Attributes:
        activations: Of each node, as indices of ``ACTIVATIONS``.
        parents: Of each node after the first: ``parents[j - 1]`` is that of node j.
    """

    activations: tuple[int, ...]
    parents: tuple[int, ...]

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Parent and child, in the order of the children."""
        return tuple((parent, j) for j, parent in enumerate(self.parents, 1))

    @property
    def leaves(self) -> tuple[int, ...]:
        """The nodes that are nobody's parent; the last node is one."""
        return tuple(j for j in range(len(self.activations)) if j not in self.parents)


class RecurrentSpace(Space):
    """ENAS's recurrent cells: a tree of nodes with activations.

    The decisions are the activation of node 0 (unless it is fixed), then for j = 1 to N - 1 the
    parent of node j, one of the j before it, and its activation: 4^N (N - 1)!, or a quarter of it.

    Source: Pham et al., Efficient neural architecture search via parameter sharing, ICML 2018.

    Args:
        nodes: N.
        first: The activation of node 0, one of ``ACTIVATIONS``; ``None``: it is a decision.
    """

    def __init__(self, nodes: int, first: str | None = None) -> None:
        self.nodes = nodes
        self._first: tuple[int, ...] = () if first is None else (ACTIVATIONS.index(first),)
        own = [] if first else [len(ACTIVATIONS)]
        super().__init__(own + [n for j in range(1, nodes) for n in (j, len(ACTIVATIONS))])

    def tree(self, a: Architecture) -> RecurrentTree:
        """Return the nodes' activations and parents."""
        first, *later = (*self._first, *a)
        return RecurrentTree((first, *later[1::2]), tuple(later[::2]))

    def choices(self, a: Architecture) -> Sequence[Hashable]:
        """Return the activation of node 0 if it is a decision, and parent with activation."""
        tree = self.tree(a)
        choices: list[Hashable] = [] if self._first else [tree.activations[0]]
        return [*choices, *zip(tree.parents, tree.activations[1:], strict=True)]

    def text(self, a: Architecture) -> str:
        """Return such as ``0 tanh, 1 relu(0), 2 sigmoid(0)``."""
        tree = self.tree(a)
        names = [ACTIVATIONS[taken] for taken in tree.activations]
        later = (f"{j} {names[j]}({parent})" for parent, j in tree.edges)
        return ", ".join([f"0 {names[0]}", *later])


Input = tuple[int, int]
"""An input of a node of a micro cell: the node it comes from, and the operation."""

MicroNodes = tuple[tuple[Input, Input], ...]
"""The inputs of each inner node; the first of them is node 2."""


class MicroSpace(Space):
    """ENAS's convolutional cells: a normal one and a reduction cell of B inner nodes each.

    Node j = 2 .. B + 1 of a cell has two inputs, each from one of the j nodes before it through one
    of five operations. The decisions are source, operation, source, operation of each node, first
    of the normal cell: ``prod_j (5 j)^2``, squared.

    Source: Pham et al., Efficient neural architecture search via parameter sharing, ICML 2018,
    section 2.4, with the operations of the code of Benyahia et al., ICML 2019.

    Args:
        nodes: B.
    """

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        ends = range(MICRO_INPUTS, MICRO_INPUTS + nodes)
        cell = [n for j in ends for n in (j, len(MICRO_OPERATIONS)) * 2]
        super().__init__(cell * 2)

    def cells(self, a: Architecture) -> tuple[MicroNodes, MicroNodes]:
        """Return the normal and the reduction cell."""
        inputs = zip(a[::2], a[1::2], strict=True)
        nodes = tuple(zip(inputs, inputs, strict=True))
        return nodes[: self.nodes], nodes[self.nodes :]

    def choices(self, a: Architecture) -> Sequence[Hashable]:
        """Return the two inputs of each node; they are compared in either order."""
        normal, reduction = self.cells(a)
        return tuple(choice for node in (*normal, *reduction) for choice in node)

    @staticmethod
    def in_common(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
        """Return how many inputs two architectures have in common, node by node."""
        pairs = (slice(place, place + 2) for place in range(0, len(a), 2))
        return sum((Counter(a[pair]) & Counter(b[pair])).total() for pair in pairs)

    def text(self, a: Architecture) -> str:
        """Return such as ``normal: 2 identity(0) + max_pool3x3(1), ...; reduction: 2 ...``."""
        named = zip(("normal", "reduction"), self.cells(a), strict=True)
        return "; ".join(f"{name}: {', '.join(_told(cell))}" for name, cell in named)


def _told(cell: MicroNodes) -> Iterator[str]:
    for j, node in enumerate(cell, MICRO_INPUTS):
        yield f"{j} " + " + ".join(f"{MICRO_OPERATIONS[op]}({source})" for source, op in node)
