"""ENAS's recurrent cell with shared weights, as a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.benchmark.search.supernets.normalising import of_sequences
from palimpsest.benchmark.search.supernets.settings import RecurrentCell
from palimpsest.benchmark.search.supernets.space import Architecture
from palimpsest.benchmark.search.supernets.spaces import (
    ACTIVATIONS,
    RecurrentSpace,
    RecurrentTree,
    edge_name,
)
from palimpsest.benchmark.search.supernets.supernet import Supernet

LARGEST_NORM = 25.0
"""The largest norm of a state; a longer one is scaled down to it."""

INITIAL = 0.025
"""Initial weights are between minus and plus this."""

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
}


class RecurrentSupernet(Supernet):
    """A language model whose recurrent cell is a tree of nodes.

    With x_t the embedded word and h the state before it,

        c_0 = sigmoid(W_xc x_t + b_c + W_hc h)
        n_0 = c_0 f_0(W_xh x_t + b_h + W_hh h) + (1 - c_0) h
        c_j = sigmoid(Wc_ij n_i)
        n_j = c_j f_j(Wh_ij n_i) + (1 - c_j) n_i

    for j = 1 .. N - 1 with parent i. The output is the mean over the leaves, normalised; the logits
    are its product with the embedding, plus a bias. The state that is passed on is n_(N - 1)
    (``last``) or the mean over the leaves (``leaves``), scaled down to a norm of 25.

    ``W_ij`` belong to the edge, whatever the activation. All weights, those of the normalisation
    too, are first drawn uniformly from -0.025 to 0.025, and the bias of the logits is 0.

    Sources: Pham et al., Efficient neural architecture search via parameter sharing, ICML 2018,
    whose state is that of the leaves and who normalise nothing; Benyahia et al., Overcoming
    multi-model forgetting, ICML 2019, whose code has the last node's and batch normalisation.

    Attributes:
        begin: The state to begin with (N, hidden); with another N, or ``None``, zeros are.
        end: The state after the last forward pass (N, hidden), detached; ``None`` before one.
    """

    space: RecurrentSpace

    def __init__(self, settings: RecurrentCell, words: int) -> None:
        space, hidden = settings.space(), settings.hidden
        super().__init__(space, words)
        self.feedback = settings.feedback
        self.dropout = settings.dropout
        self.begin: Tensor | None = None
        self.end: Tensor | None = None
        self.embedding = nn.Embedding(words, hidden)
        self.input_gate = nn.Linear(hidden, hidden)
        self.input_value = nn.Linear(hidden, hidden)
        self.state_gate = nn.Linear(hidden, hidden, bias=False)
        self.state_value = nn.Linear(hidden, hidden, bias=False)
        for j in range(1, space.nodes):
            for i in range(j):
                self.choices[edge_name(i, j)] = nn.ModuleDict(
                    {
                        "gate": nn.Linear(hidden, hidden, bias=False),
                        "value": nn.Linear(hidden, hidden, bias=False),
                    }
                )
        self.normalisation = of_sequences(settings.normalisation, hidden)
        self.bias = nn.Parameter(torch.zeros(words))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL, INITIAL)
        nn.init.zeros_(self.bias)

    def chosen(self, architecture: Architecture) -> Iterator[str]:
        """Yield the names of the edges of an architecture: every node leads to a leaf."""
        for edge in self.space.tree(architecture).edges:
            yield edge_name(*edge)

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Return the logits (N, L, words) of sequences of words (N, L), int64."""
        tree = self.space.tree(architecture)
        outputs, state = self._run(self._embedded(x), self._first_state(x), tree)
        self.end = state.detach()
        outputs = self._locked(self.normalisation(outputs), self.dropout.output)
        return functional.linear(outputs, self.embedding.weight, self.bias)

    def _first_state(self, x: Tensor) -> Tensor:
        if self.begin is not None and len(self.begin) == len(x):
            return self.begin
        return self.embedding.weight.new_zeros(len(x), self.embedding.embedding_dim)

    def _embedded(self, x: Tensor) -> Tensor:
        """Return the vectors (N, L, hidden) of words; dropped words are zeros."""
        vectors = self.embedding(x)
        if self.training and self.dropout.embedding:
            every = vectors.new_ones(self.n_classes, 1)
            vectors = vectors * functional.dropout(every, self.dropout.embedding)[x]
        return self._locked(vectors, self.dropout.input)

    def _locked(self, x: Tensor, rate: float) -> Tensor:
        """Drop the same elements of (N, L, hidden) at all time steps."""
        if not (self.training and rate):
            return x
        return x * functional.dropout(torch.ones_like(x[:, :1]), rate)

    def _run(self, x: Tensor, state: Tensor, tree: RecurrentTree) -> tuple[Tensor, Tensor]:
        """Return the outputs (N, L, hidden) of all time steps, and the state at the end.

        The matrices of gate and value are multiplied as one, which takes half as many operations.
        """
        inputs = torch.cat([self.input_gate(x), self.input_value(x)], dim=-1).transpose(0, 1)
        state = state.to(inputs.dtype)  # which autocast may have made another one
        rate = self.dropout.weights
        recurrent = torch.cat(
            [
                functional.dropout(layer.weight, rate, self.training)
                for layer in (self.state_gate, self.state_value)
            ]
        ).t()
        edges = [(*edge, self._matrix(edge_name(*edge)).t()) for edge in tree.edges]
        functions = [_FUNCTIONS[ACTIVATIONS[taken]] for taken in tree.activations]
        leaves = tree.leaves
        outputs = []
        for step in inputs:
            nodes = [_gated(torch.addmm(step, state, recurrent), functions[0], state)]
            for parent, j, matrix in edges:
                before = nodes[parent]
                nodes.append(_gated(before @ matrix, functions[j], before))
            output = nodes[-1]
            if len(leaves) > 1:
                output = torch.stack([nodes[j] for j in leaves]).mean(dim=0)
            outputs.append(output)
            state = _clipped(nodes[-1] if self.feedback == "last" else output)
        return torch.stack(outputs, dim=1), state

    def _matrix(self, edge: str) -> Tensor:
        """Return the weights (2 hidden, hidden) of an edge: of its gate, then of its value."""
        layers = self.choices[edge]
        return torch.cat([layers.get_parameter(f"{name}.weight") for name in ("gate", "value")])


def _gated(both: Tensor, function: Callable[[Tensor], Tensor], before: Tensor) -> Tensor:
    """Return ``c f(v) + (1 - c) before`` of the products (N, 2 hidden) for gate and value."""
    gate, value = both.chunk(2, dim=-1)
    return torch.lerp(before, function(value), torch.sigmoid(gate))


def _clipped(state: Tensor) -> Tensor:
    """Scale states down to the largest norm; the factor counts as a constant, as published."""
    norms = torch.linalg.vector_norm(state.detach(), dim=-1, keepdim=True)
    if norms.device.type == "cpu" and bool((norms <= LARGEST_NORM).all()):
        return state  # as with factors of 1, but faster; on a GPU asking would be slower
    factor: Tensor = LARGEST_NORM / norms.clamp(LARGEST_NORM)
    return state * factor.to(state.dtype)  # autocast takes norms in float32 on some devices
