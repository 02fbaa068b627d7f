"""The settings of penalties on shared parameters."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import (
    Count,
    NonNegative,
    Seed,
    Share,
    StrategySettings,
    Whole,
)

Application = Literal["proximal", "decoupled", "gradient"]


def _patterns(value: object) -> object:
    """Refuse what is neither a word for parameters nor patterns of their names."""
    if value in ("all", "edges"):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return value
    raise ValueError(
        f"expected all, edges, or a list of patterns of parameters' names, such as "
        f"['blocks.*.weight'], got {value!r}"
    )


Protect = Annotated[Literal["all", "edges"] | list[str], BeforeValidator(_patterns)]
"""Which parameters a penalty protects, of those that earlier models used."""


class PenaltySettings(StrategySettings):
    """The settings of every penalty on shared parameters."""

    strength: NonNegative = Field(
        1.0,
        description="Weight of the penalty, strength/2 * sum_i I_i (theta_i - anchor_i)^2. "
        "0 is fine-tuning, infinity is freezing what has importance.",
    )
    application: Application = Field(
        "proximal",
        description="How the penalty acts. 'proximal': exactly minimised after each optimizer "
        "step, in the optimizer's own metric; stable at every strength, and at rest where loss + "
        "penalty is smallest. 'decoupled': the same, scaled by the learning rate alone, as AdamW's "
        "weight decay is; weaker behind momentum and adaptive optimizers. 'gradient': added to the "
        "gradient, as in the papers; diverges when step size * strength * importance exceeds "
        "about 2, and distorts the second moments of adaptive optimizers.",
    )
    seed: Seed = 0


class RegularizerSettings(PenaltySettings):
    """The settings of every importance-weighted penalty."""

    protect: Protect = Field(
        "all",
        description="Which parameters have importance, of those that earlier models used. 'all'; "
        "'edges': of a supernet, those that belong to a choice; or a list of patterns of names, "
        "such as ['blocks.*.weight'].",
    )
    normalise: Literal["none", "mean"] = Field(
        "none",
        description="What importances are divided by. 'mean': by their mean over all parameters "
        "that have one, so that a strength means the same whatever their scale.",
    )
    start: Whole = Field(
        0,
        description="Trainings (visits) to let pass before importance is gathered; the penalty "
        "acts from the one after.",
    )
    reset_every: Count | None = Field(
        None,
        description="All importances are forgotten after each of so many trainings (visits). "
        "null: never.",
    )
    strength_decay: Share = Field(
        0.0,
        description="By what share of itself, as given, the strength falls after each epoch from "
        "decay_after on, until it is 0.",
    )
    decay_after: Whole = Field(0, description="Epochs with the whole strength.")
    decay_every: Count = Field(
        1, description="Trainings of such an epoch: the visits of an epoch of a search."
    )

    @model_validator(mode="after")
    def _has_something_to_count(self) -> Self:
        for name in ("decay_after", "decay_every"):
            if self.strength_decay == 0 and self.differs(name):
                raise ValueError(f"{name} has no effect without strength_decay: give it, too")
        return self

    def share_of_strength(self, trainings: int) -> float:
        """Return how much of the strength is left: ``max(0, 1 - decay max(0, e - after + 1))``.

        ``e = trainings // every`` is the epoch, counted from 0; before ``after`` it is 1.

        Args:
            trainings: That were before.
        """
        epoch = trainings // self.decay_every
        return max(0.0, 1.0 - self.strength_decay * max(0, epoch - self.decay_after + 1))

    def facts(self, facts: Facts) -> Facts:
        """Add that ``protect`` needs edges, or parameters that its patterns match."""
        edges = "protect: edges" if self.protect == "edges" else None
        return facts.needing(edges=edges, check=not isinstance(self.protect, str))
