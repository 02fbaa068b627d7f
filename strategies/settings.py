"""The settings of every strategy, with what each means.

They are separate from the strategies so that suite files can be checked, and ``palimpsest show
strategy wpl`` works, without importing torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from palimpsest.strategies.base.facts import Facts

Estimator = Literal["exact", "monte_carlo", "empirical", "predicted", "batched"]
LaplaceEstimator = Literal["exact", "monte_carlo", "empirical"]
Application = Literal["proximal", "decoupled", "gradient"]
NonNegative = Annotated[float, Field(ge=0, le=1e30)]
Positive = Annotated[float, Field(ge=1e-30, le=1e30)]
"""A number whose square is positive and finite in single precision, nearly."""


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


class StrategySettings(BaseModel):
    """Settings of a strategy; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def facts(self, facts: Facts) -> Facts:
        """Return the facts of the strategy as they are with these settings.

        Args:
            facts: Those of its class.
        """
        return facts

    @property
    def needs_edges(self) -> str | None:
        """The setting that names the edges of a supernet; ``None`` if none does."""
        return None

    @property
    def needs_sgd(self) -> str | None:
        """The setting that works behind stochastic gradient descent alone; ``None``: none does."""
        return None

    @property
    def needs_classes(self) -> str | None:
        """What needs logits of shape (samples, classes) and cross-entropy; ``None``: nothing."""
        return None

    @property
    def needs_one_model(self) -> str | None:
        """What needs the same model for all experiences; ``None``: nothing."""
        return None

    @property
    def needs_labels(self) -> str | None:
        """The setting that takes a sample's task label for known; ``None``: none does."""
        return None

    @property
    def needs_single_samples(self) -> str | None:
        """What needs the gradients of single samples; ``None``: nothing."""
        return None

    @property
    def needs_a_look(self) -> bool:
        """Whether even a network that ships may be none that the method can act on."""
        return False

    @property
    def needs_steps(self) -> tuple[str, int] | None:
        """The setting that takes the first steps of every training, and how many.

        A training needs more, or else what these steps are for is never used; ``None``: no setting.
        """
        return None


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
    seed: int = Field(
        0, ge=0, description="Seeds the samples drawn to estimate importance. A suite sets it."
    )


def _default(settings: BaseModel, name: str) -> object:
    return type(settings).model_fields[name].default


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
    start: int = Field(
        0,
        ge=0,
        strict=True,
        description="Trainings (visits) to let pass before importance is gathered; the penalty "
        "acts from the one after.",
    )
    reset_every: int | None = Field(
        None,
        ge=1,
        strict=True,
        description="All importances are forgotten after each of so many trainings (visits). "
        "null: never.",
    )
    strength_decay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="By what share of itself, as given, the strength falls after each epoch from "
        "decay_after on, until it is 0.",
    )
    decay_after: int = Field(
        0,
        ge=0,
        strict=True,
        description="Epochs with the whole strength.",
    )
    decay_every: int = Field(
        1,
        ge=1,
        strict=True,
        description="Trainings of such an epoch: the visits of an epoch of a search.",
    )

    @model_validator(mode="after")
    def _has_something_to_count(self) -> Self:
        for name in ("decay_after", "decay_every"):
            if self.strength_decay == 0 and getattr(self, name) != _default(self, name):
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

    @property
    def needs_a_look(self) -> bool:
        """Whether patterns of names are to match parameters."""
        return not isinstance(self.protect, str)

    @property
    def needs_edges(self) -> str | None:
        """The setting ``protect``, where it says so."""
        return "protect: edges" if self.protect == "edges" else None


class FisherSettings(RegularizerSettings):
    """The settings of penalties whose importance is the diagonal Fisher information."""

    fisher: Literal[Estimator, "training"] = Field(
        "exact",
        description="'exact': expectation over all classes under the model. 'monte_carlo': one "
        "label per sample, drawn from the model. 'empirical': the true labels. 'predicted': the "
        "most probable ones. 'batched': squares of mini-batches' mean gradients, true labels. "
        "'training': the same of the training's own batches, times their size; free, for any loss.",
    )
    batch: int = Field(
        128,
        ge=1,
        strict=True,
        description="Samples of a mini-batch of the batched estimate; the others have none.",
    )
    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that the Fisher information is averaged over.",
    )

    @property
    def online(self) -> bool:
        """Whether the Fisher information is that of the training's own batches."""
        return self.fisher == "training"

    def facts(self, facts: Facts) -> Facts:
        """Tell where its importance is gathered during training."""
        return replace(facts, online=facts.online or self.online)

    @property
    def needs_classes(self) -> str | None:
        """The setting ``fisher``, but for the training's own batches."""
        return None if self.online else f"fisher: {self.fisher}"

    @property
    def needs_single_samples(self) -> str | None:
        """The setting ``fisher``, where it is not of batches."""
        return None if self.fisher in ("training", "batched") else f"fisher: {self.fisher}"


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

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "mas"

    @property
    def needs_single_samples(self) -> str | None:
        """The method itself."""
        return "mas"


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

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "rwalk"

    @property
    def needs_single_samples(self) -> str | None:
        """The method itself."""
        return "rwalk"


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
    )
    outputs: Literal["earlier", "seen", "all"] = Field(
        "earlier",
        description="The outputs compared, where one head has more than the earlier classes. "
        "'earlier': those of the earlier classes, in both softmaxes. 'seen': the new model's "
        "softmax is over the new classes, too, which have probability 0 in the earlier one. "
        "'all': all outputs of the head, in both.",
    )
    over_classes: Literal["sum", "mean"] = Field(
        "sum",
        description="How a term adds up over classes. 'sum': the cross-entropy. 'mean': divided by "
        "how many outputs are compared, as in the program of van de Ven & Tolias until May 2019.",
    )

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "lwf"


class SRILSettings(StrategySettings):
    """Settings of selective regularization."""

    strength: NonNegative = Field(
        1.0,
        description="lambda: weight of the distance of shared features from those before. 0 is "
        "fine-tuning, whatever the interpolation.",
    )
    conflicting: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Weight of a sample whose distance and classification loss ask for opposite "
        "changes of its features; of the others it is 1. 0 is the selection, 1 plain feature "
        "distillation.",
    )
    interpolation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="a: after a training in which the earlier models lost confidence, shared "
        "parameters become a times those before plus 1 - a times those now. 0: never.",
    )
    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that the confidence is measured on.",
    )
    seed: int = Field(0, ge=0, description="Seeds the samples that are drawn. A suite sets it.")

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "sril"


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

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "der"


class NSASSettings(StrategySettings):
    """Settings of novelty search for architecture search."""

    epsilon: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Weight of the archive's mean loss; that of the visited architecture has the "
        "rest. 0 is fine-tuning.",
    )
    archive: int = Field(
        8, ge=1, le=10**6, strict=True, description="M: architectures in the archive."
    )
    recent: int = Field(
        50,
        ge=1,
        le=10**6,
        strict=True,
        description="C: latest architectures among which a replacement is looked for.",
    )
    candidates: int = Field(
        10,
        ge=1,
        le=10**6,
        strict=True,
        description="R: random architectures of which the most novel fills a free place.",
    )
    neighbours: int = Field(
        10,
        ge=1,
        le=10**6,
        strict=True,
        description="k: novelty is the mean distance from so many nearest in the archive.",
    )
    constraints: int | None = Field(
        None,
        ge=1,
        le=10**6,
        strict=True,
        description="Architectures of the archive that are trained along in a step, different "
        "ones drawn at random. null: all of them, a pass each.",
    )
    along: Literal["archive", "opposites"] = Field(
        "archive",
        description="What is trained along. 'archive': its architectures. 'opposites': for each "
        "step a random architecture and one that differs from it in every decision (with epsilon: "
        "0.8 the authors' later form); there is no archive then.",
    )
    weights: Literal["equal", "similarity"] = Field(
        "equal",
        description="How the losses of these are averaged. 'similarity': each is weighted by 1 - "
        "distance from the visited one; equally if none has a choice in common with it.",
    )
    archive_loss: Literal["gradient", "constant"] = Field(
        "gradient",
        description="'constant': the loss of these is a number without a gradient, as in the "
        "published demo. What is left is training with 1 - epsilon times the gradient.",
    )
    seed: int = Field(
        0, ge=0, description="Seeds the architectures that are drawn. A suite sets it."
    )

    @model_validator(mode="after")
    def _has_an_archive(self) -> Self:
        for name in ("archive", "recent", "candidates", "neighbours", "constraints"):
            if self.along == "opposites" and getattr(self, name) != _default(self, name):
                raise ValueError(f"{name} is for along: archive, and has no effect: remove it")
        return self


class OGLSettings(StrategySettings):
    """Settings of orthogonal gradient learning."""

    rank: int = Field(
        20,
        ge=0,
        le=10**6,
        strict=True,
        description="q_max: directions kept of each tensor, at most half its elements. 0 is "
        "fine-tuning.",
    )
    scope: Literal["all", "ops"] = Field(
        "all",
        description="Whose gradients are projected. 'all': all parameters that earlier models "
        "used. 'ops': of a supernet, those that belong to a choice, as in the paper.",
    )
    gradient: Literal["logits", "loss"] = Field(
        "logits",
        description="Whose gradients an earlier model's directions are. 'logits': of the true "
        "class's logit, of each of some samples (orthogonal gradient descent), which protects the "
        "outputs to first order. 'loss': the mean one of its training (the paper).",
    )
    samples: int = Field(
        20,
        ge=1,
        le=10**6,
        strict=True,
        description="Training samples of a model whose logits have a direction each.",
    )
    threshold: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="tau: directions whose singular value is at most that share of the largest "
        "one of their tensor are dropped.",
    )
    seed: int = Field(0, ge=0, description="Seeds the samples that are drawn. A suite sets it.")

    @property
    def needs_edges(self) -> str | None:
        """The setting ``scope``, where it says so."""
        return "scope: ops" if self.scope == "ops" else None


class WPLSettings(FisherSettings):
    """Settings of the weight plasticity loss."""

    combine: Literal["average", "sum", "max"] = Field(
        "average",
        description="How the Fisher information of several models is combined: a running average, "
        "the sum or the largest. No effect with two models, like the following two.",
    )
    momentum: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="m of the running average F <- m F + (1-m) F_new over models. No effect "
        "with two models.",
    )
    anchor: Literal["latest", "weighted"] = Field(
        "latest",
        description="Where shared parameters are pulled to. 'latest': the latest weights. "
        "'weighted': sum_k F_k theta*_k / sum_k F_k, which makes the penalty that of all earlier "
        "models; not with combine: max.",
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

    @model_validator(mode="after")
    def _has_a_sum(self) -> Self:
        if self.combine == "max" and self.anchor == "weighted":
            raise ValueError(
                "anchor: weighted is the minimum of a sum of quadratics, which combine: max does "
                "not keep; use combine: sum or average, or anchor: latest"
            )
        return self


class WPLOfficialSettings(RegularizerSettings):
    """Settings of the weight plasticity loss as its authors' program computes it."""

    strength: NonNegative = Field(
        60.0,
        description="alpha, multiplied into the stored importance at each visit, so that it "
        "compounds. 0 is fine-tuning.",
    )
    application: Application = Field(
        "gradient", description="How the penalty acts; 'gradient', as published. See wpl."
    )
    protect: Protect = Field(
        "edges",
        description="Which parameters have importance. 'edges': of a supernet, those that belong "
        "to a choice; 'all', or a list of patterns of names.",
    )
    normalise: Literal["none"] = Field(
        "none",
        description="Nothing: the strength is in the importances.",
    )
    renewal: float = Field(
        0.9,
        gt=0,
        le=1,
        description="lambda of F <- (1-lambda) F + lambda g^2, the weight of the new term (the "
        "program's help calls it momentum).",
    )
    norm: Positive | None = Field(
        10.0,
        description="Largest Euclidean norm of a tensor's importance before the strength is "
        "multiplied in. null: no clipping.",
    )
    clipped: Literal["together", "separately"] = Field(
        "together",
        description="What a scenario's clip_gradient clips. 'together': the sum of the gradients "
        "of loss and penalty (as published). 'separately': the loss's alone, and the penalty's "
        "is clipped to penalty_norm.",
    )
    penalty_norm: Positive = Field(
        0.25,
        description="Largest Euclidean norm of the penalty's gradient if it is clipped separately.",
    )


class LaplaceSettings(PenaltySettings):
    """Settings of the Kronecker-factored online Laplace approximation."""

    strength: NonNegative = Field(
        1.0,
        description="Weight of the penalty, strength/2 * sum_k v^T F_k v, F_k the mean Fisher "
        "information of a sample. 0 is fine-tuning; the number of training samples is Bayes' rule; "
        "in the limit, directions without curvature stay free.",
    )
    form: Literal["online", "per_model", "merged"] = Field(
        "online",
        description="'online': the sum of all models' products, anchored at the latest weights "
        "(Ritter et al. 2018). 'per_model': the same products, each with its own anchor. 'merged': "
        "as online, with the one product nearest to the sum in its place, so that neither memory "
        "nor time grow with models.",
    )
    fisher: LaplaceEstimator = Field(
        "exact",
        description="'exact': expectation over all classes under the model. 'monte_carlo': one "
        "label per sample, drawn from the model. 'empirical': the true labels.",
    )
    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that the Fisher information is averaged over.",
    )
    prior_precision: Positive = Field(
        1000.0,
        description="What is added to the precision of every weight of the posterior that is "
        "sampled from; 1000 is about that of initial weights behind some hundred inputs. No effect "
        "on training.",
    )

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "laplace"

    @property
    def needs_single_samples(self) -> str | None:
        """The method itself."""
        return "laplace"


class WPLSchurSettings(PenaltySettings):
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

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "wpl_schur"

    @property
    def needs_single_samples(self) -> str | None:
        """The method itself."""
        return "wpl_schur"
