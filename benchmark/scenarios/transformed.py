"""One model's data derived from another's: rotated, or with permuted pixels."""

from __future__ import annotations

import torch

from benchmark.data.transforms import permute_pixels, rotate
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
    if change == "rotated":
        return base.part.map_inputs(lambda x: rotate(x, degrees))
    _, height, width = base.input_shape
    generator = torch.Generator().manual_seed(derive(seed, "scenario", model))
    permutation = torch.randperm(height * width, generator=generator)
    return base.part.map_inputs(lambda x: permute_pixels(x, permutation.to(x.device)))
