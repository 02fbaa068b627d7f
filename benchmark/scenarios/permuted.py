"""The same images, with their pixels permuted differently in each experience."""

from __future__ import annotations

from typing import ClassVar, Literal

from benchmark.scenarios.changed_images import ChangedImages


class Permuted(ChangedImages):
    """Every experience but the first permutes the pixels (Permuted MNIST and its like).

    Source: Goodfellow et al., An empirical investigation of catastrophic forgetting, 2013;
    Kirkpatrick et al., PNAS 2017.
    """

    change: ClassVar[str] = "permuted"

    family: Literal["permuted"] = "permuted"
