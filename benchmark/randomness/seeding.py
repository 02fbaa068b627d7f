"""All randomness of a run comes from one seed.

Each purpose has its own stream. So strategies are compared on the same initial weights and batches,
and drawing more numbers for one purpose affects no other.
"""

from __future__ import annotations

from typing import Literal, get_args

Stream = Literal[
    "weights",
    "scenario",
    "order",
    "importance",
    "global",
    "refit",
    "augmentation",
    "boundaries",
    "controller",
    "posterior",
]
_STREAMS = get_args(Stream)


def derive(seed: int, stream: Stream, index: int = 0) -> int:
    """Return the seed of one stream of a run, a number below 2^63.

    Args:
        seed: The run's seed.
        stream: What it is for: initial weights, the scenario's own choices (permutations,
            paths), the order of the batches, samples for importance, everything that draws from
            global generators (torch's, numpy's, Python's: dropout, Avalanche's own loaders), the
            order of the batches of the probe ``refit``, the augmentation of images, the samples
            that cross blurry boundaries, the controller of a search, or the draws of weights of the
            probe ``uncertainty``.
        index: Which of several, e.g. the model whose batches are ordered. For ``global``: 0 while
            the run is built, 2i + 1 while model i trains and 2i + 2 after that. In a search, for
            ``order``: the pass over the data, and for ``scenario``: 1 + the epoch. For
            ``augmentation``: 2i for the batches of training i, 2i + 1 for importances after it.
    """
    from numpy.random import SeedSequence  # the settings of scenarios import this module

    sequence = SeedSequence(seed, spawn_key=(_STREAMS.index(stream), index))
    high, low = (int(word) for word in sequence.generate_state(2))
    return ((high << 32) | low) >> 1
