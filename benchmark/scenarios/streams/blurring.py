"""Exchanges training samples between neighbouring experiences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import joined, subset
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.streams.parts import Part, Samples


def exchanged(parts: Sequence[Part], share: float, seed: int) -> list[Part]:
    """Return experiences of which neighbours have exchanged some of their training samples.

    Across the boundary of experiences i and i + 1, of ``n_i`` and ``n_{i+1}`` samples, each gives
    the other ``round(share / 2 * min(n_i, n_{i+1}))`` of its own. So sizes stay, every sample is in
    one experience, the first and the last exchange half as much as those between, and no sample
    goes further than to a neighbour. Samples keep their labels.

    Blurry boundaries are those of Bang et al., Rainbow Memory, CVPR 2021 (Blurry-M), and of Koh et
    al., Online Continual Learning on Class Incremental Blurry Task Configuration, ICLR 2022
    (i-Blurry); there, the samples come from all other tasks, not from neighbours alone.

    Args:
        parts: The data of each experience.
        share: Of an experience's samples, in [0, 1).
        seed: The run's seed.
    """
    sizes = [len(part.train[0]) for part in parts]
    crossing = [round(share / 2 * min(pair)) for pair in pairwise(sizes)]
    back, ahead = [0, *crossing], [*crossing, 0]
    orders = [_order(size, seed, i).to(parts[i].train[1].device) for i, size in enumerate(sizes)]
    found = []
    for i, part in enumerate(parts):
        pieces = [_taken(part, orders[i][back[i] + ahead[i] :])]
        if back[i]:
            given = slice(back[i - 1], back[i - 1] + ahead[i - 1])
            pieces.append(_taken(parts[i - 1], orders[i - 1][given]))
        if ahead[i]:
            pieces.append(_taken(parts[i + 1], orders[i + 1][: back[i + 1]]))
        found.append(part._replace(train=reduce(_together, pieces)))
    return found


def _order(size: int, seed: int, experience: int) -> Tensor:
    """Return a random order of an experience's samples: first those that go back, then ahead."""
    generator = torch.Generator().manual_seed(derive(seed, "boundaries", experience))
    return torch.randperm(size, generator=generator)


def _taken(part: Part, chosen: Tensor) -> Samples:
    x, y = part.train
    return subset(x, chosen), y[chosen]


def _together(one: Samples, other: Samples) -> Samples:
    return joined(one[0], other[0]), torch.cat([one[1], other[1]])
