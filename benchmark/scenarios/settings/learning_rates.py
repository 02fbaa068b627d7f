"""The settings of learning-rate schedules: torch's, over the steps of one training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.settings.values import BY_NAME, Count, Settings

Share = Annotated[float, Field(ge=0, le=1)]


class Constant(Settings):
    """The learning rate does not change."""

    name: Literal["constant"] = "constant"


class _Changing(Settings):
    steps: Count | None = Field(
        None,
        description="Length, after which the rate stays as it is; null: all steps of the training "
        "that are left after the warm-up.",
    )


class Cosine(_Changing):
    """Half a period of a cosine, torch's ``CosineAnnealingLR``."""

    name: Literal["cosine"] = "cosine"
    final: Share = Field(0.0, description="Share of the learning rate at the end.")


class Linear(_Changing):
    """A straight line, torch's ``LinearLR``."""

    name: Literal["linear"] = "linear"
    final: Share = Field(0.0, description="Share of the learning rate at the end.")


class Step(_Changing):
    """A fall by a factor at each of some moments, torch's ``MultiStepLR``."""

    name: Literal["step"] = "step"
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), min_length=1, description="The moments, as shares of the length."
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="What the rate is multiplied by at each of them."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if list(self.at) != sorted(set(self.at)):
            raise ValueError("at: expected shares in increasing order, such as [0.5, 0.75]")
        return self


LearningRateSchedule = Annotated[
    Annotated[Constant | Cosine | Step | Linear, Field(discriminator="name")], BY_NAME
]
