"""A scenario's data set: loaded once per process, or once for all processes that share memory."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from palimpsest.benchmark.data.formats.images import load_pixels
from palimpsest.benchmark.data.shared_data import shared
from palimpsest.benchmark.scenarios.streams.parts import Amounts, DataSet, Part, Samples

Scale = Literal["standardised", "unit"]


@lru_cache(maxsize=4)
def load_data_set(
    name: str, root: Path, amounts: Amounts, device: str, pixels: Scale = "standardised"
) -> DataSet:
    """Load a data set onto a device, split for a scenario; its images stay bytes until used.

    On the CPU, processes that share files (``benchmark/data/shared_data.py``) share the images.

    Args:
        name: Of the data set.
        root: The folder that holds the data sets.
        amounts: How many samples are used.
        device: Where the images are to be, as torch spells it.
        pixels: How they are scaled, see `Pixels.unit`.
    """
    images = load_pixels(name, root)
    both = ((images.train_x, images.train_y), (images.test_x, images.test_y))
    train, test = (
        ((x.unit() if pixels == "unit" else x).to(device), labels.to(device)) for x, labels in both
    )
    part = amounts.part(train, test)
    return DataSet(part, images.input_shape, images.n_classes, tuple(images.classes))


@lru_cache(maxsize=4)
def load_float_data_set(
    name: str, root: Path, amounts: Amounts, device: str, pixels: Scale = "standardised"
) -> DataSet:
    """Load a data set as `load_data_set` does, with all its images as float tensors.

    They take four times as much memory. On the CPU, processes share them likewise.
    """
    whole = load_data_set(name, root, amounts, "cpu", pixels)

    def floats() -> list[Samples]:
        return [(x[:], y) for x, y in whole.part]

    made = shared((name, root, amounts, pixels), floats)
    return replace(whole, part=Part(*((x.to(device), y.to(device)) for x, y in made)))
