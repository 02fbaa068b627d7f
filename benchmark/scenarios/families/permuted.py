"""The same images, with their pixels permuted differently in each experience."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from palimpsest.benchmark.scenarios.settings.changed_images import ChangedImages

if TYPE_CHECKING:
    from palimpsest.benchmark.scenarios.streams.parts import DataSet


class Permuted(ChangedImages):
    """Every experience but the first permutes the pixels (Permuted MNIST and its like).

    Source: Goodfellow et al., An empirical investigation of catastrophic forgetting, 2013;
    Kirkpatrick et al., PNAS 2017.
    """

    change: ClassVar[str] = "permuted"

    family: Literal["permuted"] = "permuted"
    padding: int = Field(
        0,
        ge=0,
        le=256,
        description="Black pixels on each side, added before the pixels are permuted. "
        "van de Ven & Tolias (2019) use 2, which makes MNIST's images 32 x 32.",
    )

    def load_images(self, root: Path, device: str, name: str | None = None) -> DataSet:
        """Return a data set with its padding, see ``padding``."""
        from palimpsest.benchmark.scenarios.streams.transformed import padded

        return padded(super().load_images(root, device, name), self.padding)
