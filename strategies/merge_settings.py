"""The settings of strategies that merge weights; importing this needs no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.settings import NonNegative, Positive, StrategySettings


class MergeSettings(StrategySettings):
    """The settings of every strategy that merges models trained apart."""

    start: Literal["first", "initial", "merged"] = Field(
        "first",
        description="Where the training of a shared parameter begins. 'first': at its value after "
        "the first model that used it, whose task vector is then 0. 'initial': as the network was "
        "built, which has to be pre-trained. 'merged': at the merged weights, one model after "
        "another; a dial that else acts after training then acts on it, too.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Tell where trainings begin at what the dial has made of earlier ones."""
        if self.start != "merged" or facts.dial is None:
            return facts
        return replace(facts, dial=replace(facts.dial, after_training=False))


class TaskArithmeticSettings(MergeSettings):
    """Settings of task arithmetic."""

    scale: NonNegative = Field(
        0.3,
        description="What the sum of the task vectors is multiplied by. 0 is the start; 1 / models "
        "is their mean.",
    )


class RunningAverageSettings(MergeSettings):
    """Settings of the running average of weights."""


class TIESSettings(MergeSettings):
    """Settings of TIES merging."""

    scale: NonNegative = Field(
        1.0, description="lambda: what the merged task vector is multiplied by. 0 is the start."
    )
    density: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Share of the elements of a model's task vector, with the largest absolute "
        "values, that is kept.",
    )


class OPCMSettings(MergeSettings):
    """Settings of orthogonal projection-based continual merging."""

    alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the sum of singular values of what is merged so far whose "
        "directions a new task vector is projected away from. 0: only from each pair of "
        "directions by itself; 1: from all.",
    )


class PICSettings(TaskArithmeticSettings):
    """Settings of parameter isolation and combination."""

    rank: int = Field(
        4,
        ge=1,
        strict=True,
        description="r: rank of a branch; at most the smaller side of the layer's weight.",
    )
    alpha: Positive = Field(
        8.0, description="The product of a branch's factors is multiplied by alpha / rank."
    )
    seed: int = Field(0, ge=0, description="Seeds first factors of branches. A suite sets it.")


class SMILESettings(MergeSettings):
    """Settings of low-rank experts."""

    start: Literal["first", "initial"] = Field(
        "first",
        description="Where the training of a shared parameter begins. 'first': at its value after "
        "the first model that used it, whose difference is then 0. 'initial': as the network was "
        "built, which has to be pre-trained.",
    )
    rank: int = Field(
        16,
        ge=0,
        le=10**6,
        strict=True,
        description="k: rank of the difference that is kept of each shared weight of a model. "
        "Where it is no less to keep than the weight, the weight itself is kept. 0: biases and the "
        "like alone.",
    )
    experts: Literal["given", "routed"] = Field(
        "given",
        description="Which model's differences are added. 'given': those of the model that is "
        "evaluated. 'routed': in each layer those whose directions the input has most of; biases "
        "go with them, and what belongs to no such layer is as at the start.",
    )
    gate: int = Field(
        1,
        ge=1,
        strict=True,
        description="k_gate: how many directions of an expert the router looks at. No effect where "
        "the model is given.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Tell where it finds out itself which model a sample is of."""
        return replace(super().facts(facts), told=self.experts == "given")

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if self.experts == "given" and self.gate != type(self).model_fields["gate"].default:
            raise ValueError("gate has no effect with experts: given: remove it, or say routed")
        if self.experts == "routed" and self.start == "first":
            raise ValueError(
                "experts: routed needs start: initial, since with start: first the differences of "
                "the first model are 0, and no router would choose it"
            )
        return self
