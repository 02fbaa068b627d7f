"""What the weights of a network's linear and convolutional layers multiply.

Each output of such a layer is a product of a row of its weight (and its bias) with a vector: a
linear layer's input, or a patch of a convolution's. With a bias the vector ends with a 1, so that
weight and bias together are one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold


@dataclass(frozen=True)
class Matrix:
    """The weight of a layer, and its bias, as one matrix of shape (outputs, inputs).

    Attributes:
        name: Of the layer.
        layer: The layer itself.
    """

    name: str
    layer: nn.Linear | nn.Conv2d

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The weight and, if there is one, the bias, by their names in the network."""
        prefix = f"{self.name}." if self.name else ""
        found = {f"{prefix}weight": self.layer.weight}
        if self.layer.bias is not None:
            found[f"{prefix}bias"] = self.layer.bias
        return found

    @property
    def width(self) -> int:
        """How many inputs it has, with the 1 of a bias."""
        return self.layer.weight[0].numel() + (self.layer.bias is not None)

    def joined(self, values: Sequence[Tensor]) -> Tensor:
        """Return tensors of the shapes of weight and bias as one of shape (outputs, inputs)."""
        return torch.cat([value.reshape(len(value), -1) for value in values], dim=1)

    def parted(self, matrix: Tensor) -> list[Tensor]:
        """Undo ``joined``."""
        inputs = self.layer.weight[0].numel()
        weight = matrix[:, :inputs].reshape(self.layer.weight.shape)
        return [weight, matrix[:, inputs]] if self.layer.bias is not None else [weight]

    def vectors(self, x: Tensor) -> Tensor:
        """Return what an input of the layer has the weight multiply, of shape (vectors, inputs)."""
        if isinstance(self.layer, nn.Linear):
            rows = x.reshape(-1, x.shape[-1])
        else:
            own = self.layer
            patches = unfold(x, own.kernel_size, own.dilation, own.padding, own.stride)  # type: ignore[arg-type]
            rows = patches.movedim(1, -1).reshape(-1, patches.shape[1])
        if self.layer.bias is None:
            return rows
        return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)


def matrices(model: nn.Module) -> list[Matrix]:
    """Return the layers of a network whose weights are such matrices.

    Those are linear layers and two-dimensional convolutions without groups, whose padding is zeros.
    """
    return [Matrix(name, layer) for name, layer in model.named_modules() if _is_matrix(layer)]


def _is_matrix(layer: nn.Module) -> bool:
    if type(layer) is nn.Linear:
        return True
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


@contextmanager
def watched(layers: Sequence[Matrix]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the inputs of layers, by name, while the network runs."""
    found: dict[str, list[Tensor]] = {}
    handles = [
        own.layer.register_forward_pre_hook(
            lambda _, inputs, name=own.name: found.setdefault(name, []).append(inputs[0].detach())
        )
        for own in layers
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
