"""Text as the samples of a scenario: windows in columns, each continuing the one before."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from torch import Tensor

from palimpsest.benchmark.data.formats.text import load, windows
from palimpsest.benchmark.data.paths import path_of
from palimpsest.benchmark.scenarios.streams.parts import Amounts, Part, Samples


@lru_cache(maxsize=2)
def load_windows(
    name: str,
    root: Path,
    words: int | None,
    columns: int,
    length: int,
    amounts: Amounts,
    device: str,
) -> tuple[Part, int]:
    """Load a text as windows, its splits as its files have them.

    Args:
        name: The data set, ``text:PATH``.
        root: The folder that holds the data sets.
        words: Size of the vocabulary; ``None``: all.
        columns: Of each split: the windows of a batch.
        length: Words of a window.
        amounts: How many windows of each split are used, the first ones.
        device: Where they are to be, as torch spells it.

    Returns:
        The splits, words (N, L) and those that follow them; and the size of the vocabulary.

    Raises:
        UserError: There is no such text, or it is too short.
    """
    text = load(path_of(name, root), words)

    def split(stream: Tensor, told: str, count: int | None = None) -> Samples:
        every = windows(stream, columns, length, f"data set {name!r}, {told},")
        x, y = first_windows(every, count, columns)
        return x.to(device), y.to(device)

    part = Part(
        split(text.train, "text to train on", amounts.samples),
        split(text.valid, "text to validate on", amounts.validation_samples),
        split(text.test, "text to test on", amounts.test_samples),
    )
    return part, len(text.vocabulary)


def first_windows(samples: Samples, count: int | None, columns: int) -> Samples:
    """Return the first windows, in full batches: at most ``count``, and at least one batch.

    Args:
        samples: Windows, ``columns`` to a batch.
        count: How many; ``None``: all.
        columns: Windows of a batch.
    """
    if count is None:
        return samples
    x, y = samples
    end = max(count // columns, 1) * columns
    return x[:end], y[:end]
