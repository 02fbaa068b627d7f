"""Values of parameters that have grown since, as Avalanche's heads do."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad


def fit_to_grown(values: dict[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """Extend values of parameters, by 0, to those that have grown; in place.

    Args:
        values: By the parameters' names.
        parameters: As they are now.
    """
    for name in values.keys() & parameters.keys():
        values[name] = fitted(values[name], parameters[name].shape)


def extended(old: Tensor, now: Tensor) -> Tensor:
    """Return an old value of a parameter that has grown: what is new has its present value."""
    if old.shape == now.shape:
        return old
    found = now.detach().clone()
    found[tuple(map(slice, old.shape))] = old
    return found


def fitted(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Return a tensor cropped to a shape, or padded with zeros: Avalanche's heads grow."""
    if tensor.shape == shape:
        return tensor
    growth = [new - old for new, old in zip(shape, tensor.shape, strict=True)]
    return pad(tensor, [side for size in reversed(growth) for side in (0, size)])
