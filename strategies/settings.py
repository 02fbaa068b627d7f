"""The settings of every strategy, with what each means.

They are separate from the strategies so that suite files can be checked, and ``palimpsest show
strategy wpl`` works, without importing torch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Estimator = Literal["exact", "monte_carlo", "empirical", "predicted", "batched"]
Application = Literal["proximal", "decoupled", "gradient"]
NonNegative = Annotated[float, Field(ge=0, le=1e30)]
Positive = Annotated[float, Field(ge=1e-30, le=1e30)]
"""A number whose square is positive and finite in single precision, nearly."""


class StrategySettings(BaseModel):
    """Settings of a strategy; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RegularizerSettings(StrategySettings):
    """The settings of every importance-weighted penalty."""

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
    seed: int = Field(
        0, ge=0, description="Seeds the samples drawn to estimate importance. A suite sets it."
    )


class FisherSettings(RegularizerSettings):
    """The settings of penalties whose importance is the diagonal Fisher information."""

    fisher: Estimator = Field(
        "exact",
        description="'exact': expectation over all classes under the model. 'monte_carlo': one "
        "label per sample, drawn from the model. 'empirical': the true labels. 'predicted': the "
        "most probable ones. 'batched': squares of mini-batches' mean gradients, true labels.",
    )
    batch: int = Field(
        128,
        ge=1,
        strict=True,
        description="Samples of a mini-batch of the batched estimate; the others have none.",
        exclude_if=lambda batch: bool(batch == 128),  # keeps the keys of earlier results
    )
    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that the Fisher information is averaged over.",
    )


class FinetuneSettings(StrategySettings):
    """Fine-tuning has no settings."""


class FreezeSettings(StrategySettings):
    """Freezing has no settings."""


class IndependentSettings(StrategySettings):
    """Independent training has no settings."""


class JointSettings(StrategySettings):
    """Joint training has no settings."""


class EWCSettings(FisherSettings):
    """Settings of elastic weight consolidation."""

    form: Literal["per_model", "online"] = Field(
        "per_model",
        description="'per_model': one Fisher information and anchor per model (Kirkpatrick et al. "
        "2017). 'online': one running sum, anchored at the latest weights (Schwarz et al. 2018).",
    )
    decay: float = Field(
        1.0,
        ge=0,
        le=1,
        description="gamma of the online form: the factor of the old sum when a model is added.",
    )


class L2Settings(RegularizerSettings):
    """Settings of the plain L2 anchor."""


class SISettings(RegularizerSettings):
    """Settings of synaptic intelligence."""

    damping: Positive = Field(
        0.1,
        description="xi, added to the squared movement that the path integral is divided by.",
    )


class MASSettings(RegularizerSettings):
    """Settings of memory aware synapses."""

    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that the sensitivity of the outputs is averaged over.",
    )


class RWalkSettings(SISettings):
    """Settings of Riemannian walk."""

    every: int = Field(
        10,
        ge=1,
        strict=True,
        description="Delta t: steps of a segment. At its end the running Fisher information and "
        "the scores are updated. The paper takes 10 on MNIST and 50 on CIFAR.",
    )
    alpha: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Weight of the latest batch in the running Fisher information, "
        "F <- alpha F_batch + (1-alpha) F. The smaller, the longer it averages.",
    )
    damping: Positive = Field(
        1e-3,
        description="epsilon, added to the divergence that the loss decrease is divided by.",
    )


class LwFSettings(StrategySettings):
    """Settings of learning without forgetting."""

    strength: NonNegative = Field(
        1.0,
        description="lambda_o: weight of the distillation loss of each earlier model. 0 is "
        "fine-tuning; infinity fixes the earlier models' outputs on the new data, not weights.",
    )
    temperature: Positive = Field(
        2.0,
        description="T: outputs are divided by it before the softmax; larger values give small "
        "probabilities more weight.",
    )
    balance: Literal["sum", "experiences"] = Field(
        "sum",
        description="How losses are weighted. 'sum': the new model's plus strength times each "
        "earlier one's. 'experiences': 1/t of the new model's plus strength * (1 - 1/t) of the "
        "earlier ones' mean, in experience t.",
        exclude_if=lambda balance: bool(balance == "sum"),  # keeps the keys of earlier results
    )
    outputs: Literal["earlier", "seen", "all"] = Field(
        "earlier",
        description="The outputs compared, where one head has more than the earlier classes. "
        "'earlier': those of the earlier classes, in both softmaxes. 'seen': the new model's "
        "softmax is over the new classes, too, which have probability 0 in the earlier one. "
        "'all': all outputs of the head, in both.",
        exclude_if=lambda outputs: bool(outputs == "earlier"),
    )


class MemorySettings(StrategySettings):
    """The settings of methods that store samples."""

    memory: int = Field(
        200,
        ge=0,
        le=10**9,
        strict=True,
        description="Samples in the memory, of all models together. 0 is fine-tuning.",
    )
    memory_batch: int | None = Field(
        None,
        ge=1,
        le=10**9,
        strict=True,
        description="M: samples drawn from the memory at a time, different ones, all where it has "
        "fewer. null: as many as a training batch has.",
    )
    seed: int = Field(
        0, ge=0, description="Seeds what is kept in the memory, and drawn from it. A suite sets it."
    )


class ReplaySettings(MemorySettings):
    """Settings of experience replay."""


class DERSettings(MemorySettings):
    """Settings of dark experience replay."""

    alpha: NonNegative = Field(
        0.1,
        description="Weight of the mean squared distance from the stored logits. The authors' "
        "values go from 0.1 (split CIFAR-10) to 1 (permuted MNIST). At large learning rates large "
        "ones diverge.",
    )
    beta: NonNegative = Field(
        1.0,
        description="Weight of the cross-entropy of stored samples. The authors take 0.5 or 1. 0 "
        "is DER, without labels.",
    )


class WPLSettings(FisherSettings):
    """Settings of the weight plasticity loss."""

    momentum: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="m of the running average F <- m F + (1-m) F_new over models. No effect "
        "with two models.",
    )
    clip: Positive | None = Field(
        None,
        description="Largest Euclidean norm of a tensor's Fisher information; larger ones are "
        "scaled down to it. null: no clipping.",
    )
    weight_decay: NonNegative = Field(
        0.0,
        description="The paper's Gaussian priors on shared and private weights: weight_decay/2 * "
        "theta^2 for each parameter that the new model trains.",
    )


class WPLSchurSettings(RegularizerSettings):
    """Settings of the weight plasticity loss with the Schur complement."""

    strength: NonNegative = Field(
        1.0,
        description="Weight of the penalty, strength/2 * v^T Omega v, v the distance of the "
        "shared parameters from the anchor. 0 is fine-tuning; in the limit the earlier outputs on "
        "the samples are fixed, and directions that do not change them stay free.",
    )
    private: Literal["follows", "fixed"] = Field(
        "follows",
        description="What is assumed about an earlier model's private parameters. 'follows': they "
        "are refitted, Omega = H_ss - H_s1 H_11^-1 H_1s (the paper's). 'fixed': they stay, "
        "Omega = H_ss (what is measured).",
    )
    damping: Positive = Field(
        0.01,
        description="Added to the diagonal of H_11, which is singular. With smaller values the "
        "private parameters can compensate for more. No effect if they are fixed.",
    )
    samples: int = Field(
        200,
        ge=1,
        strict=True,
        description="Training samples per earlier model; more protect more. With K = models * "
        "samples * (classes - 1), memory grows with K^2 and the time before a model with K^3.",
    )
