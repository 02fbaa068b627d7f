"""Low-rank branches: of a weight W (outputs, inputs), A B is trained in its place.

A layer is wrapped, and while a branch is open it computes with ``W + A B``: A (outputs, rank)
begins at 0 and is trained. B (rank, inputs) is fixed, or trained, too; then the product may be
scaled. Afterwards the branch is folded into W, by the same arithmetic, so that no output changes. A
convolution's inputs are the patches that it multiplies.
"""

from collections import Counter

import torch
from torch import Tensor, nn
from torch.func import functional_call

from palimpsest.strategies.base.layer_inputs import WeightMatrix, is_matrix
from palimpsest.strategies.base.wrapping import wrap, wrapped


class BranchedLayer(nn.Module):
    """A linear or convolutional layer that can have a branch.

    Args:
        layer: The layer.

    Attributes:
        layer: The layer, with the weight W.
        expansions: A, (outputs, rank), by the number of the model that trains.
        reductions: B, (rank, inputs), where it is trained, by the same number.
        factor: What A B is multiplied by.
        reduction: B, (rank, inputs); ``None`` while no branch is open.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.expansions = nn.ParameterDict()
        self.reductions = nn.ParameterDict()
        self.factor = 1.0
        self.is_open = False
        self._fixed: Tensor | None = None

    @property
    def reduction(self) -> Tensor | None:
        """B while a branch is open."""
        if not self.is_open:
            return None
        trained: Tensor | None = next(iter(self.reductions.values()), None)
        return self._fixed if trained is None else trained

    @property
    def weight(self) -> Tensor:
        """W with its branch."""
        weight: Tensor = self.layer.weight
        reduction = self.reduction
        if reduction is not None:
            (expansion,) = self.expansions.values()
            product = expansion @ reduction
            if self.factor != 1:
                product = self.factor * product
            weight = weight + product.view_as(weight)
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

    def prepare_both(self, model: int, reduction: Tensor, factor: float) -> None:
        """Add A = 0 and B for a model that trains both; no effect before the branch is open.

        Args:
            model: Its number.
            reduction: Where B begins, (rank, inputs).
            factor: What A B is multiplied by.
        """
        self.prepare(model, len(reduction))
        self.reductions[str(model)] = nn.Parameter(reduction)
        self.factor = factor

    def open(self, directions: Tensor | None = None) -> None:
        """Begin to compute with a branch.

        Args:
            directions: The rows of B where it is not trained, (count, inputs), of which there may
                be fewer than A has columns, also none; the rest of A then has no effect.
        """
        self.is_open = True
        if directions is not None:
            (expansion,) = self.expansions.values()
            weight = self.layer.weight.detach()
            self._fixed = weight.new_zeros(expansion.shape[1], weight[0].numel())
            self._fixed[: len(directions)] = directions

    @torch.no_grad()
    def fold(self) -> None:
        """Add the branch to W, and drop it."""
        self.layer.weight.copy_(self.weight)
        self.expansions.clear()
        self.reductions.clear()
        self._fixed, self.is_open, self.factor = None, False, 1.0


def add_branches(model: nn.Module) -> None:
    """Wrap each layer that can have a branch; those that are wrapped already stay as they are.

    Left out are heads that grow, layers whose weight is not trained, layers that one module has
    twice, and weights that another layer has, too, where a branch would not be seen. A layer that
    several models have is wrapped once.
    """
    owners = Counter(id(p) for own in model.modules() for p in own.parameters(recurse=False))
    twice = {
        child
        for parent in model.modules()
        for child, count in Counter(parent._modules.values()).items()
        if count > 1
    }
    known: dict[nn.Module, BranchedLayer] = {}

    def made(layer: nn.Module) -> BranchedLayer | None:
        if not is_matrix(layer) or not layer.weight.requires_grad:
            return None
        if layer in twice or owners[id(layer.weight)] > 1:
            return None
        return known.setdefault(layer, BranchedLayer(layer))

    wrap(model, BranchedLayer, made)


def branched(model: nn.Module) -> dict[WeightMatrix, BranchedLayer]:
    """Return the wrapped layers of a network, and what their weights multiply."""
    found = wrapped(model, BranchedLayer)
    return {WeightMatrix(f"{name}.layer", own.layer): own for name, own in found.items()}


def with_branches(model: nn.Module, method: str) -> dict[WeightMatrix, BranchedLayer]:
    """Wrap the layers of a network, see ``add_branches``, and return them as ``branched`` does.

    Raises:
        ValueError: There is none that can have a branch; names the method.
    """
    add_branches(model)
    layers = branched(model)
    if not layers:
        raise ValueError(
            f"{method} trains branches beside linear layers and convolutions, and the network has "
            "none that it can wrap"
        )
    return layers
