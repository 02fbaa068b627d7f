"""Low-rank branches: of a weight W (outputs, inputs), A B is trained in its place.

A layer is wrapped, and while a branch is open it computes with ``W + A B``: B (rank, inputs) is
fixed, A (outputs, rank) begins at 0 and is trained. Then the branch is folded into W, by the same
arithmetic, so that no output changes. A convolution's inputs are the patches that it multiplies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from strategies.layer_inputs import Matrix, is_matrix
from strategies.wrapping import places, wrap, wrapped


class BranchedLayer(nn.Module):
    """A linear or convolutional layer that can have a branch.

    Args:
        layer: The layer.

    Attributes:
        layer: The layer, with the weight W.
        expansions: A, (outputs, rank), by the number of the model that trains.
        reduction: B, (rank, inputs); ``None`` while no branch is open.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.expansions = nn.ParameterDict()
        self.reduction: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """W with its branch."""
        weight: Tensor = self.layer.weight
        if self.reduction is not None:
            (expansion,) = self.expansions.values()
            weight = weight + (expansion @ self.reduction).view_as(weight)
        return weight

    @property
    def bias(self) -> Tensor | None:
        """That of the layer."""
        return self.layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the layer with its branch."""
        outputs: Tensor = functional_call(self.layer, {"weight": self.weight}, (x,))
        return outputs

    def prepare(self, model: int, rank: int) -> None:
        """Add A = 0 for a model that trains; it has no effect before the branch is open.

        Args:
            model: Its number.
            rank: At most; a layer has no more than it has inputs.
        """
        weight = self.layer.weight.detach()
        zero = weight.new_zeros(len(weight), min(rank, weight[0].numel()))
        self.expansions[str(model)] = nn.Parameter(zero)

    def open(self, directions: Tensor) -> None:
        """Begin to compute with a branch.

        Args:
            directions: The rows of B, (count, inputs), of which there may be fewer than A has
                columns, also none; the rest of A then has no effect.
        """
        (expansion,) = self.expansions.values()
        weight = self.layer.weight.detach()
        reduction = weight.new_zeros(expansion.shape[1], weight[0].numel())
        reduction[: len(directions)] = directions
        self.reduction = reduction

    @torch.no_grad()
    def fold(self) -> None:
        """Add the branch to W, and drop it."""
        self.layer.weight.copy_(self.weight)
        self.expansions.clear()
        self.reduction = None


def add_branches(model: nn.Module) -> None:
    """Wrap each layer that can have a branch; those that are wrapped already stay as they are.

    Left out are heads that grow, layers whose weight is not trained, and weights that have another
    place in the network, too, where a branch would not be seen.
    """
    count = places(model)

    def made(layer: nn.Module) -> BranchedLayer | None:
        if not is_matrix(layer) or not layer.weight.requires_grad or count[id(layer.weight)] > 1:
            return None
        return BranchedLayer(layer)

    wrap(model, BranchedLayer, made)


def branched(model: nn.Module) -> dict[Matrix, BranchedLayer]:
    """Return the wrapped layers of a network, and what their weights multiply."""
    found = wrapped(model, BranchedLayer)
    return {Matrix(f"{name}.layer", own.layer): own for name, own in found.items()}
