"""The 1,797 handwritten digits of 8 x 8 pixels that ship with scikit-learn."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from palimpsest.benchmark.data.formats.raw import RawImages
from palimpsest.benchmark.data.splits import train_test_split


def read() -> RawImages:
    """Return the digits, pixels from 0 to 16, a fixed fifth of each class set apart for testing."""
    bunch = load_digits()
    x = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    y = torch.from_numpy(bunch.target).to(torch.int64)
    train, test = train_test_split(y)
    return RawImages(x[train], y[train], x[test], y[test], tuple(map(str, bunch.target_names)))
