"""The base of the families that can be class-incremental."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings


class Incremental(ScenarioSettings):
    """A scenario that is task-, domain- or class-incremental: its setting ``incremental``."""

    outputs: Literal["all", "seen"] = Field(
        "all",
        description="Class-incremental: the outputs that the training's loss takes. all: of the "
        "whole head, so that those of later classes learn to be small. seen: of the classes so "
        "far, as in van de Ven & Tolias, 2019.",
    )

    @model_validator(mode="after")
    def _outputs_of_classes(self) -> Self:
        incremental = getattr(self, "incremental", None)
        if self.outputs == "seen" and incremental != "class":
            raise ValueError(
                f"outputs: seen is for incremental: class, not {incremental}, where every "
                "experience has all outputs of its head; leave it out"
            )
        return self

    @property
    def has_several_models(self) -> bool:
        """Whether it is known that experiences have models, or heads, of their own."""
        return getattr(self, "incremental", None) == "task"

    @property
    def has_no_labels(self) -> bool:
        """Whether it is known that experiences have no task labels when they are evaluated."""
        return not self.has_several_models

    @property
    def trains_seen_outputs(self) -> bool:
        """Whether the training's loss leaves out the outputs of later classes."""
        return self.outputs == "seen"
