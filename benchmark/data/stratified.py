"""Which samples of each class are held out, the same at every call; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TEST_SHARE = 0.2
TEST_SEED = 1797
"""How test images are set apart where a source has none of its own."""


def held_out(
    labels: Sequence[int] | npt.NDArray[np.int64], fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Return which samples are held out.

    Of a class with n samples, ``round(fraction * n)``, but at least one and at most n - 1; with
    ``fraction`` 0, none.

    Args:
        labels: The classes, shape (N,).
        fraction: The share of each class, in [0, 1).
        seed: Decides the choice.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must be in [0, 1), not {fraction}")
    # RandomState's streams are frozen for good, unlike those of numpy's Generator and of torch.
    random = np.random.RandomState(seed)
    classes = np.asarray(labels)
    chosen = np.zeros(len(classes), dtype=bool)
    for label in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == label))
        count = min(max(round(fraction * len(members)), 1), len(members) - 1) if fraction else 0
        chosen[members[:count]] = True
    return chosen
