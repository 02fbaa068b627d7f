"""The digits that ship with scikit-learn, with the interface of torchvision's data sets."""

from __future__ import annotations

from pathlib import Path

import torch
from sklearn.datasets import load_digits

from palimpsest.benchmark.data.splits import train_test_split


class Digits:
    """The digits, pixels from 0 to 16, a fixed fifth of each class set apart for testing.

    Attributes:
        data: Pixels, uint8, shape (N, 8, 8).
        targets: Their classes, int64, shape (N,).
        classes: The names of the classes.
    """

    def __init__(self, root: Path, *, train: bool = True) -> None:
        bunch = load_digits()
        y = torch.from_numpy(bunch.target).to(torch.int64)
        own = train_test_split(y)[not train]
        self.data = torch.from_numpy(bunch.images).to(torch.uint8)[own]
        self.targets = y[own]
        self.classes = tuple(map(str, bunch.target_names))
