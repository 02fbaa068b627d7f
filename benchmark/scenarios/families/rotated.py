"""The same images, rotated further with each experience."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from palimpsest.benchmark.scenarios.settings.changed_images import ChangedImages
from palimpsest.benchmark.settings.values import Degrees


class Rotated(ChangedImages):
    """Experience i is turned by i * ``rotation`` degrees (Rotated MNIST and its like).

    Source: Lopez-Paz & Ranzato, Gradient Episodic Memory, NeurIPS 2017 (angles there random).
    """

    change: ClassVar[str] = "rotated"

    family: Literal["rotated"] = "rotated"
    rotation: Degrees = Field(36.0, description="Degrees from one experience to the next.")

    def degrees(self, experience: int) -> float:
        """Return ``experience * rotation``."""
        return experience * self.rotation
