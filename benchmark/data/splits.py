"""Stratified splits, the same at every call; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

_VALIDATION_SEED = 2019
_TEST_SHARE, _TEST_SEED = 0.2, 1797


def held_out(
    labels: Sequence[int] | npt.NDArray[np.int64],
    fraction: float = _TEST_SHARE,
    seed: int = _TEST_SEED,
) -> npt.NDArray[np.bool_]:
    """Return which samples are held out, as a mask.

    Of a class with n samples, ``round(fraction * n)``, but at least one and at most n - 1; with
    ``fraction`` 0, none. By default, the test images of a source without any of its own.

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


def train_test_split(y: Tensor) -> tuple[Tensor, Tensor]:
    """Set a fifth of each class apart for testing, where a source has no test set of its own.

    Returns:
        The indices (train, test), as `validation_split` returns them.
    """
    return _split(y, _TEST_SHARE, _TEST_SEED)


def validation_split(y: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Set a validation set apart from a training set, as `held_out` chooses it.

    Returns:
        The indices (train, validation), int64, each sorted; together they are 0 .. N - 1.
    """
    return _split(y, fraction, _VALIDATION_SEED)


def _split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    import torch

    chosen = held_out(y.cpu().numpy(), fraction, seed)
    return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))
