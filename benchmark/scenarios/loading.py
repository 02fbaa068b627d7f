"""A scenario's data set: loaded once per process, or once for all processes that share memory."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from torch import Tensor

from palimpsest.benchmark.data.formats.images import load_pixels
from palimpsest.benchmark.data.formats.pixels import Pixels, subset
from palimpsest.benchmark.data.sharing import shared
from palimpsest.benchmark.data.splits import validation_split
from palimpsest.benchmark.scenarios.streams.parts import DataSet, Part, Samples, choose

Scale = Literal["standardised", "unit"]


@lru_cache(maxsize=4)
def load_data_set(
    name: str,
    root: Path,
    samples: int | None,
    validation: float,
    device: str,
    pixels: Scale = "standardised",
    test_samples: int | None = None,
    validation_samples: int | None = None,
) -> DataSet:
    """Load a data set onto a device, split for a scenario, its images as bytes until used.

    On the CPU, all processes that share files (see ``benchmark/data/sharing.py``) share the images.

    Args:
        name: Of the data set.
        root: The folder that holds the data sets.
        samples: Training samples used, a fixed random choice; ``None`` for all.
        validation: Share of these that is held out.
        device: Where the images are to be, as torch spells it.
        pixels: How they are scaled, see `Pixels.unit`.
        test_samples: Test samples used, a fixed random choice; ``None`` for all.
        validation_samples: Held-out samples used, likewise.
    """
    images = load_pixels(name, root)
    both = ((images.train_x, images.train_y), (images.test_x, images.test_y))
    (x, y), test = (
        ((x.unit() if pixels == "unit" else x).to(device), labels.to(device)) for x, labels in both
    )
    train, held_out = _split(x, y, samples, validation)
    part = Part(train, choose(held_out, validation_samples), choose(test, test_samples))
    return DataSet(part, images.input_shape, images.n_classes, tuple(images.classes))


@lru_cache(maxsize=4)
def load_float_data_set(
    name: str,
    root: Path,
    samples: int | None,
    validation: float,
    device: str,
    pixels: Scale = "standardised",
    test_samples: int | None = None,
    validation_samples: int | None = None,
) -> DataSet:
    """Load a data set as `load_data_set` does, with all its images as float tensors.

    They take four times as much memory. On the CPU, processes share them likewise.
    """
    most = (test_samples, validation_samples)

    def splits() -> list[tuple[Tensor, Tensor]]:
        part = load_data_set(name, root, samples, validation, "cpu", pixels, *most).part
        return [(x[:], y) for x, y in (part.train, part.validation, part.test)]

    made = shared((name, root, samples, validation, pixels, *most), splits)
    whole = load_data_set(name, root, samples, validation, "cpu", pixels, *most)
    return replace(whole, part=Part(*((x.to(device), y.to(device)) for x, y in made)))


def _split(x: Pixels, y: Tensor, samples: int | None, validation: float) -> tuple[Samples, Samples]:
    """Choose samples and hold some of them out."""
    chosen, labels = choose((x, y), samples)
    train, held_out = (
        (subset(chosen, rows), labels[rows])
        for rows in (i.to(y.device) for i in validation_split(labels, validation))
    )
    return train, held_out
