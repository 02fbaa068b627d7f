"""What the weights of a network's linear and convolutional layers multiply.

Each output of such a layer is a product of a row of its weight with a vector: a linear layer's
input, or a patch of a convolution's. Where the vector ends with a 1, weight and bias together are
one matrix.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from palimpsest.strategies.base.network import Network, evaluation_mode


@dataclass(frozen=True)
class WeightMatrix:
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

    def count(self, x: Tensor) -> int:
        """Return how many vectors an input of the layer has."""
        return self._places(x)[..., 0, 0, 0].numel()

    def inputs(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return what an input of the layer has the weight multiply, of shape (vectors, inputs).

        Args:
            x: The input.
            chosen: The numbers of those vectors that are wanted; ``None``: all.
        """
        places = self._places(x)
        rest = places.shape[3:]
        if chosen is None:
            return places.reshape(-1, rest.numel())
        # The others are never copied: there are many, and each pixel is in several.
        return places[torch.unravel_index(chosen, places.shape[:3])].flatten(1)

    def vectors(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return the same for weight and bias as one matrix: with a bias each ends with a 1."""
        rows = self.inputs(x, chosen)
        if self.layer.bias is None:
            return rows
        return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)

    def results(self, y: Tensor) -> Tensor:
        """Return what belongs to an output of the layer, of shape (vectors, outputs)."""
        if isinstance(self.layer, nn.Conv2d):
            y = y.movedim(-3, -1)
        return y.reshape(-1, len(self.layer.weight))

    def _places(self, x: Tensor) -> Tensor:
        """Return a view with a vector for each place: (samples, height, width, *vector)."""
        own = self.layer
        if isinstance(own, nn.Linear):
            return x.reshape(-1, 1, 1, x.shape[-1], 1, 1)
        assert not isinstance(own.padding, str)
        down, across = own.padding
        x = pad(x, [across, across, down, down])
        each = zip((2, 3), own.kernel_size, own.dilation, own.stride, strict=True)
        for dim, size, apart, stride in each:
            x = x.unfold(dim, (size - 1) * apart + 1, stride)[..., ::apart]
        return x.permute(0, 2, 3, 1, 4, 5)


def matrices(model: nn.Module) -> list[WeightMatrix]:
    """Return the layers of a network whose weights are such matrices."""
    return [WeightMatrix(name, layer) for name, layer in model.named_modules() if is_matrix(layer)]


def is_matrix(layer: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """Whether a layer is linear, or a two-dimensional convolution without groups, padded by 0."""
    if type(layer) is nn.Linear:
        return True
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


@contextmanager
def watched(layers: Sequence[WeightMatrix]) -> Iterator[dict[str, list[Tensor]]]:
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


def fed(
    model: nn.Module, layers: Sequence[WeightMatrix], x: Tensor, labels: Tensor, device: Any
) -> Iterator[dict[str, list[Tensor]]]:
    """Run samples through a network in evaluation mode.

    Args:
        model: The network.
        layers: Those that are looked at.
        x: The samples.
        labels: The task label of each.
        device: Where the network is.

    Yields:
        For each label, the inputs of each use of a layer, by name; those that are not used are left
        out, and the others come in the order in which they are first used.
    """
    with evaluation_mode(model), torch.no_grad(), watched(layers) as seen:
        for label in sorted(set(labels.tolist())):
            seen.clear()
            Network(model, label)(x[labels == label].to(device))
            yield seen
