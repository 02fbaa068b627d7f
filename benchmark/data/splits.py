"""Deterministic stratified splits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_TEST_SEED = 1797
_VALIDATION_SEED = 2019


def train_test_split(y: Tensor) -> tuple[Tensor, Tensor]:
    """Set a fifth of each class apart for testing, where a source has no test set of its own.

    Args:
        y: The classes, shape (N,).

    Returns:
        The indices (train, test), as `validation_split` returns them.
    """
    return _stratified(y, 0.2, _TEST_SEED)


def validation_split(y: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """Set a validation set apart from a training set, the same at every call.

    Of a class with n images, ``round(fraction * n)`` go to the validation set, but at least one
    and at most n - 1; with ``fraction`` 0, none.

    Args:
        y: The classes, shape (N,).
        fraction: The share of each class that goes to the validation set, in [0, 1).

    Returns:
        The indices (train, validation), int64, each sorted; together they are 0 .. N - 1.
    """
    return _stratified(y, fraction, _VALIDATION_SEED)


def _stratified(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must be in [0, 1), not {fraction}")
    # RandomState's streams are frozen for good, unlike those of numpy's Generator and of torch.
    random = np.random.RandomState(seed)
    labels = y.cpu().numpy()
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = min(max(round(fraction * len(members)), 1), len(members) - 1) if fraction else 0
        held_out[members[:count]] = True
    return torch.from_numpy(np.flatnonzero(~held_out)), torch.from_numpy(np.flatnonzero(held_out))
