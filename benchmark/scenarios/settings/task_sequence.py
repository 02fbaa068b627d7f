"""The base of the families of classic task sequences: one trunk, perhaps blurry boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.scenarios.settings.scenario import Curve, ScenarioSettings
from palimpsest.benchmark.settings.values import Count, Fraction, Several

if TYPE_CHECKING:
    from palimpsest.benchmark.scenarios.streams.parts import Part

_ONE_HEAD = (
    "blurry needs one head for all experiences: with a head for each, a sample of another one has "
    "none"
)


class TaskSequence(ScenarioSettings):
    """Experiences that follow one another on one trunk, and may blend into their neighbours."""

    hidden_layers: Several = Field(
        2, description="Of mlp and cnn: depth of the trunk that all models share."
    )
    epochs: Count | None = 1
    curve: Curve = Curve(every=50)
    blurry: Fraction = Field(
        0.0,
        description="Share of an experience's training samples that it exchanges with its "
        "neighbours, half of it with the one before and half with the one after; the seed decides "
        "which. Test and validation sets stay pure.",
    )

    @model_validator(mode="after")
    def _one_head_for_all(self) -> Self:
        if self.blurry and getattr(self, "incremental", None) == "task":
            raise ValueError(f"{_ONE_HEAD}; set another incremental than task, or remove blurry")
        return self

    def check_labels(self, labels: Sequence[int]) -> None:
        """Refuse blurry boundaries where the experiences have several task labels.

        Raises:
            UserError: They have different labels.
        """
        if self.blurry and len(set(labels)) > 1:
            raise UserError(f"{_ONE_HEAD}; remove blurry")

    def blurred(self, parts: Sequence[Part], labels: Sequence[int], seed: int) -> Sequence[Part]:
        """Return the data of each experience after the exchange; for ``build``.

        Raises:
            UserError: As for `check_labels`.
        """
        if not self.blurry:
            return parts
        self.check_labels(labels)
        from palimpsest.benchmark.scenarios.streams.blurring import exchanged

        return exchanged(parts, self.blurry, seed)
