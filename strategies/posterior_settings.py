"""The settings of strategies that learn a posterior; importing this needs no torch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.settings import NonNegative, Positive, StrategySettings


class PosteriorSettings(StrategySettings):
    """The settings of every variational posterior."""

    beta: NonNegative = Field(
        1.0,
        description="Weight of the divergence from earlier posteriors. A step sees mean loss + "
        "beta * KL / N, with N the samples of a pass over the training's data; 1 is the evidence "
        "lower bound. 0 is training with noise, and holds nothing.",
    )
    log_variance: float = Field(
        -6.0,
        ge=-60,
        le=5,
        description="Logarithm of the variance that the posterior of each weight begins with. The "
        "larger, the more noise while training; deep networks take less, -8 to -16.",
    )
    prior_std: Positive | None = Field(
        None,
        description="The prior of what no earlier model used is N(0, prior_std^2). null: it is the "
        "posterior that the network begins with, so that the divergence begins at 0.",
    )
    temper: Literal["none", "models"] = Field(
        "none",
        description="How often the data count. 'none': once for each model. 'models': KL is "
        "multiplied by M, the experiences of the stream, so that the data count once where all "
        "models learn the same ones.",
    )
    seed: int = Field(
        0, ge=0, description="Seeds the weights that are drawn while training. A suite sets it."
    )


class VCLSettings(PosteriorSettings):
    """Settings of variational continual learning."""


class NStepKLSettings(PosteriorSettings):
    """Settings of n-step KL regularization."""

    posteriors: int = Field(
        4,
        ge=1,
        le=1000,
        strict=True,
        description="n: divergences are those from the last n posteriors. 1 is vcl.",
    )
    memory: int = Field(
        0,
        ge=0,
        le=10**9,
        strict=True,
        description="Samples in a memory, of the last n models together, for the likelihoods of "
        "earlier models' data. 0: none, a pure regularizer.",
    )
    memory_batch: int | None = Field(
        None,
        ge=1,
        le=10**9,
        strict=True,
        description="Samples drawn from the memory at a time, all where it has fewer. null: as "
        "many as a training batch has.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Tell where there is a memory."""
        if not self.memory:
            return facts
        return replace(facts, stores=True, moves_unused=True, needs_its_model=True)

    def forgets_samples(self, trainings: int | None) -> bool:
        """Whether its memory has to forget samples, as only those of the last trainings count.

        Args:
            trainings: How many there are; ``None``: many.
        """
        return self.memory > 0 and 1 < self.posteriors < (trainings or math.inf)

    @model_validator(mode="after")
    def _has_a_memory(self) -> Self:
        if self.memory_batch is not None and not self.memory:
            raise ValueError("memory_batch has no effect without memory: give it, too")
        return self


class TDVCLSettings(NStepKLSettings):
    """Settings of temporal-difference variational continual learning."""

    decay: float = Field(
        0.5,
        ge=0,
        le=1,
        description="lambda: the weight of a posterior is lambda times that of the one after it. 0 "
        "is vcl, 1 is n_step_kl.",
    )

    def forgets_samples(self, trainings: int | None) -> bool:
        """As of ``n_step_kl``; with a decay of 0 no samples count."""
        none_count = self.decay == 0 and self.memory > 0 and self.posteriors > 1
        return none_count or super().forgets_samples(trainings)


class BAdamSettings(StrategySettings):
    """Settings of Bayesian adaptive moment regularization."""

    eta: NonNegative = Field(
        0.3,
        description="Step of a mean per unit of variance: it moves by about eta * sigma^2, so that "
        "what has become certain stays. 0 trains nothing. There is no other learning rate.",
    )
    sigma: Positive = Field(
        0.06,
        description="Standard deviation that each parameter begins with. The smaller, the less "
        "noise, the shorter the first steps (eta * sigma^2), and the less certainty adds to it.",
    )
    draws: int = Field(
        10,
        ge=1,
        le=10**4,
        strict=True,
        description="K: weights that are drawn for each batch, with a pass each.",
    )
    evidence: Positive = Field(
        1.0,
        description="Weight of a batch's evidence. 1: each sample counts whenever it is trained "
        "on, as in the paper: again in each epoch, and for each model on the same data. 1 / "
        "epochs, say, counts it once.",
    )
    rule: Literal["badam", "bgd"] = Field(
        "badam",
        description="How means move. 'badam': by Adam's normalised moment. 'bgd': by the gradient "
        "(Bayesian gradient descent).",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the second moment.")
    reset: Literal["moments", "never"] = Field(
        "moments",
        description="What begins anew with each training. 'moments': both moments and their count, "
        "as gradients change abruptly. 'never': nothing (the paper). Deviations never do.",
    )
    seed: int = Field(0, ge=0, description="Seeds the weights that are drawn. A suite sets it.")

    @model_validator(mode="after")
    def _has_moments(self) -> Self:
        for name in ("beta1", "beta2", "reset"):
            if self.rule == "bgd" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with rule: bgd, which has no moments")
        return self
