"""The data of experiences: tensors in three disjoint splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import Inputs, Pixels, subset
from palimpsest.benchmark.data.splits import validation_split

Samples = tuple[Inputs, Tensor]
"""Inputs (N, C, H, W), perhaps as `Pixels`, and targets (N,)."""


class Part(NamedTuple):
    """The data of one experience, in three disjoint splits."""

    train: Samples
    validation: Samples
    test: Samples

    def map_inputs(self, function: Callable[[Tensor], Tensor]) -> Part:
        """Return the same data with a function of each split's normalised inputs, as floats."""
        return Part(*((function(x[:]), y) for x, y in self))

    def move_pixels(self, function: Callable[[Tensor], Tensor]) -> Part:
        """Return the same data with every split's pixels moved; bytes stay bytes.

        Args:
            function: Of images (N, C, H, W) of any type; it computes no new values.
        """
        return Part(
            *((x.moved(function) if isinstance(x, Pixels) else function(x), y) for x, y in self)
        )

    def with_classes(self, classes: Sequence[int], labels: Sequence[int]) -> Part:
        """Return the samples of some classes, relabelled ``classes[i] -> labels[i]``."""
        splits = []
        for x, y in self:
            new = torch.full_like(y, -1)
            for old_label, label in zip(classes, labels, strict=True):
                new[y == old_label] = label
            splits.append((subset(x, new >= 0), new[new >= 0]))
        return Part(*splits)


@dataclass(frozen=True)
class DataSet:
    """A data set that was loaded for a scenario.

    Attributes:
        part: Its three splits.
        input_shape: The shape of an image: channels, height, width.
        n_classes: How many classes it has.
        classes: Their names; empty where these are not known.
    """

    part: Part
    input_shape: tuple[int, int, int]
    n_classes: int
    classes: tuple[str, ...] = ()


def choose(samples: Samples, count: int | None) -> Samples:
    """Return ``count`` samples at most, the same random choice for all data of one size.

    Args:
        samples: To choose from.
        count: How many; ``None`` for all.
    """
    x, y = samples
    if count is None or count >= len(x):
        return samples
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
    chosen = chosen.to(y.device)
    return subset(x, chosen), y[chosen]


class Amounts(NamedTuple):
    """How many samples of each split are used, fixed random choices; ``None``: all.

    Attributes:
        samples: Of the training samples.
        validation: The share of these that is held out.
        validation_samples: Of those held out.
        test_samples: Of the test samples.
    """

    samples: int | None = None
    validation: float = 0.1
    validation_samples: int | None = None
    test_samples: int | None = None

    def part(self, train: Samples, test: Samples) -> Part:
        """Return the splits that a training set and a test set are used in."""
        x, y = choose(train, self.samples)
        own, held_out = (
            (subset(x, rows), y[rows])
            for rows in (i.to(y.device) for i in validation_split(y, self.validation))
        )
        held_out = choose(held_out, self.validation_samples)
        return Part(own, held_out, choose(test, self.test_samples))
