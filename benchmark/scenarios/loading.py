"""A scenario's data set: loaded once per process, or once for all processes that share memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from benchmark.data.images import load
from benchmark.data.sharing import shared
from benchmark.data.splits import validation_split
from benchmark.scenarios.parts import DataSet, Part, Samples, choose


@lru_cache(maxsize=4)
def load_data_set(
    name: str, root: Path, samples: int | None, validation: float, device: str
) -> DataSet:
    """Load a data set onto a device, split for a scenario.

    On the CPU, all processes that share files (see ``benchmark/data/sharing.py``) share the
    tensors.

    Args:
        name: Of the data set.
        root: The folder that holds the data sets.
        samples: Training samples used, a fixed random choice; ``None`` for all.
        validation: Share of these that is held out.
        device: Where the tensors are to be, as torch spells it.
    """
    splits, input_shape, n_classes = shared(
        (name, root, samples, validation), lambda: _splits(name, root, samples, validation)
    )
    part = Part(*((x.to(device), y.to(device)) for x, y in splits))
    return DataSet(part, input_shape, n_classes)


def _splits(
    name: str, root: Path, samples: int | None, validation: float
) -> tuple[list[Samples], tuple[int, int, int], int]:
    """Return a data set's splits, on the CPU, its image shape and its number of classes."""
    images = load(name, root)
    x, y = choose((images.train_x, images.train_y), samples)
    train, held_out = validation_split(y, validation)
    splits = [(x[train], y[train]), (x[held_out], y[held_out]), (images.test_x, images.test_y)]
    return splits, images.input_shape, images.n_classes
