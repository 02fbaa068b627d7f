"""One model's data derived from another's: rotated, or with permuted pixels."""

from __future__ import annotations

import torch

from benchmark.data.transforms import moves_pixels, permute_pixels, rotate
from benchmark.scenarios.parts import DataSet, Part
from benchmark.seeding import derive


def changed(base: DataSet, change: str, seed: int, model: int, degrees: float) -> Part:
    """Return the data of a model, derived from a data set.

    Args:
        base: The data set.
        change: ``same``, ``rotated`` by ``degrees``, or ``permuted`` by a permutation of the
            pixels that the run's seed and the model decide.
        seed: The run's seed.
        model: Which model's data these are.
        degrees: Counter-clockwise.
    """
    if change == "same":
        return base.part
    _, height, width = base.input_shape
    if change == "rotated":
        moves = moves_pixels(degrees, height, width)
        transform = base.part.move_pixels if moves else base.part.map_inputs
        return transform(lambda x: rotate(x, degrees))
    generator = torch.Generator().manual_seed(derive(seed, "scenario", model))
    permutation = torch.randperm(height * width, generator=generator)
    return base.part.move_pixels(lambda x: permute_pixels(x, permutation.to(x.device)))
