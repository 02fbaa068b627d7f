"""What every source of images returns: the pixels as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class RawImages:
    """A data set before normalisation.

    Attributes:
        train_x: Pixels to train on, uint8, shape (N, C, H, W).
        train_y: Their classes, int64, shape (N,).
        test_x: Pixels to test on, uint8, shape (M, C, H, W).
        test_y: Their classes, int64, shape (M,).
        classes: The names of the classes; label i is ``classes[i]``.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]
