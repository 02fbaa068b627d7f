"""Data derived from others: padded, rotated, or with permuted pixels."""

from __future__ import annotations

import torch

from palimpsest.benchmark.data.transforms import moves_pixels, pad, permute_pixels, rotate
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.streams.parts import DataSet, Part


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


def padded(base: DataSet, padding: int) -> DataSet:
    """Return a data set whose images have black around them; bytes stay bytes.

    Args:
        base: The data set.
        padding: On each side, in pixels.
    """
    if padding == 0:
        return base
    channels, height, width = base.input_shape
    shape = (channels, height + 2 * padding, width + 2 * padding)
    return DataSet(base.part.move_pixels(lambda x: pad(x, padding)), shape, base.n_classes)
