"""Deterministic stratified splits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from palimpsest.benchmark.data.stratified import TEST_SEED, TEST_SHARE, held_out

_VALIDATION_SEED = 2019


def train_test_split(y: Tensor) -> tuple[Tensor, Tensor]:
    """Set a fifth of each class apart for testing, where a source has no test set of its own.

    Args:
        y: The classes, shape (N,).

    Returns:
        The indices (train, test), as `validation_split` returns them.
    """
    return _stratified(y, TEST_SHARE, TEST_SEED)


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
    chosen = held_out(y.cpu().numpy(), fraction, seed)
    return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))
