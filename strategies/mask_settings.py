"""The settings of strategies that hold parameters back; importing this needs no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.settings import Estimator, NonNegative, StrategySettings


class MaskSettings(StrategySettings):
    """The settings of every strategy that holds parameters back."""

    scales: Literal["update", "gradient"] = Field(
        "update",
        description="What is scaled. 'update': each step, so that it means the same behind every "
        "optimizer. 'gradient': the gradient, as published; behind SGD without momentum and weight "
        "decay alone, which move a weight without any.",
    )

    @property
    def needs_sgd(self) -> str | None:
        """The setting ``scales``, where it says gradient."""
        return "scales: gradient" if self.scales == "gradient" else None


class SPGSettings(MaskSettings):
    """Settings of soft-masking of parameter-level gradient flow."""

    strength: NonNegative = Field(
        1.0,
        description="p: of a step, the share (1 - A)^p is taken. 0 is fine-tuning, 1 the published "
        "method; the larger, the more is held of what has any importance.",
    )
    importance: Literal["cross_head", "loss"] = Field(
        "cross_head",
        description="What of earlier models has importance for a later one, on its data. "
        "'cross_head': the sum of their logits, without labels (the paper). 'loss': their "
        "cross-entropy, where all models learn the same data.",
    )
    private: Literal["scaled", "free"] = Field(
        "scaled",
        description="What no earlier model used. 'scaled': held by the mean share of what is "
        "shared (the paper). 'free': not held.",
    )
    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that importances are summed over; the paper takes all.",
    )
    seed: int = Field(0, ge=0, description="Seeds the samples that are drawn. A suite sets it.")

    @property
    def needs_classes(self) -> str | None:
        """The method itself."""
        return "spg"


class RowSettings(MaskSettings):
    """The settings of every strategy that holds rows: all weights of an output of a layer."""

    share: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of the rows of shared parameters that is held. 0 is fine-tuning, 1 is "
        "freezing.",
    )
    among: Literal["layer", "all"] = Field(
        "layer",
        description="Among what the share is taken. 'layer': among the rows of each tensor. 'all': "
        "among those of all tensors.",
    )


class FisherRowSettings(RowSettings):
    """The settings of strategies that choose rows by their Fisher information."""

    fisher: Estimator = Field(
        "exact",
        description="Of which labels: 'exact', 'monte_carlo', 'empirical', 'predicted' or "
        "'batched', see EWC.",
    )
    samples: int = Field(
        1000,
        ge=1,
        strict=True,
        description="Training samples that the Fisher information is averaged over.",
    )
    batch: int = Field(
        128, ge=1, strict=True, description="Samples of a mini-batch of the batched estimate."
    )
    seed: int = Field(0, ge=0, description="Seeds the samples that are drawn. A suite sets it.")

    @property
    def needs_classes(self) -> str | None:
        """The setting ``fisher``."""
        return f"fisher: {self.fisher}"

    @property
    def needs_single_samples(self) -> str | None:
        """The setting ``fisher``, where it is not of batches."""
        return None if self.fisher == "batched" else f"fisher: {self.fisher}"


class FreezeImportantSettings(FisherRowSettings):
    """Settings of freezing what mattered most."""


class FGGMSettings(FisherRowSettings):
    """Settings of Fisher-guided gradient masking."""

    rows: Literal["fisher", "random"] = Field(
        "fisher",
        description="Which rows are free. 'fisher': those that matter most to the new model. "
        "'random': as many others, drawn for each model; a control.",
    )

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        for name in ("fisher", "samples", "batch"):
            default = type(self).model_fields[name].default
            if self.rows == "random" and getattr(self, name) != default:
                raise ValueError(f"{name} has no effect with rows: random: remove it")
        return self

    @property
    def needs_classes(self) -> str | None:
        """The setting ``fisher``, where rows are chosen by it."""
        return None if self.rows == "random" else super().needs_classes

    @property
    def needs_single_samples(self) -> str | None:
        """The setting ``fisher``, where rows are chosen by it."""
        return None if self.rows == "random" else super().needs_single_samples


class MIGUSettings(RowSettings):
    """Settings of magnitude-based gradient updating."""


class InputSettings(StrategySettings):
    """The settings of every strategy that looks at what earlier models fed the layers."""

    samples: int = Field(
        300,
        ge=1,
        le=1000,
        strict=True,
        description="Training samples of a model whose inputs of the layers are looked at.",
    )
    seed: int = Field(0, ge=0, description="Seeds the samples that are drawn. A suite sets it.")


class ProjectionSettings(InputSettings):
    """The settings of every strategy that projects steps across earlier inputs."""

    vectors: int = Field(
        4096,
        ge=1,
        strict=True,
        description="So many vectors of a layer's inputs are looked at, at most, drawn from those "
        "of the samples. A convolution has one for each sample and position.",
    )


class GPMSettings(ProjectionSettings):
    """Settings of gradient projection memory."""

    energy: float = Field(
        0.97,
        ge=0,
        le=1,
        description="Share of the energy of each layer's inputs that the kept directions have. 0 "
        "is fine-tuning; 1 keeps all inputs that were seen.",
    )


class InfLoRASettings(InputSettings):
    """Settings of interference-free low-rank adaptation."""

    energy: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Share of the energy of each layer's inputs that the kept directions have; it "
        "counts squares of the covariance's singular values. 0 keeps nothing, 1 all inputs that "
        "were seen.",
    )
    rises: bool = Field(
        True,
        description="Whether the energy rises with each model on the way to 1, as published; where "
        "it is known how many there are.",
    )
    rank: int = Field(10, ge=1, strict=True, description="Rank of a branch, at most.")
    trunk: Literal["trained", "fixed"] = Field(
        "trained",
        description="The weights that branches are beside. 'trained': as the first model that "
        "uses them leaves them. 'fixed': as the network begins, for pre-trained ones; the first "
        "model trains branches, too, and whole only its last layer, the head.",
    )
    samples: int = Field(
        1000,
        ge=1,
        le=1000,
        strict=True,
        description="Training samples of a model that covariances are taken of.",
    )


class SupSupSettings(StrategySettings):
    """Settings of supermasks in superposition."""

    density: float = Field(
        0.5, gt=0, le=1, description="Share of the weights of a layer that a model's mask keeps."
    )
    rule: Literal["top_k", "threshold"] = Field(
        "top_k",
        description="Which weights a mask keeps. 'top_k': the density with the largest absolute "
        "scores. 'threshold': those with a score of 0 or more, about half, whatever the density.",
    )
    weights: Literal["constant", "initial"] = Field(
        "constant",
        description="The weights that are masked. 'constant': of one size in a layer, with their "
        "initial signs (the paper). 'initial': as the network was built.",
    )
    infer: Literal["none", "given", "one_shot", "binary"] = Field(
        "none",
        description="How it knows which model a batch is of. 'none': by its task label, and what "
        "has no task labels is refused. 'given': it is told there, too, which makes it a "
        "reference. 'one_shot': it infers that for each batch, by one gradient of the entropy of "
        "the outputs of all masks in superposition. 'binary': by one for each halving of the "
        "masks.",
        # Keeps the keys of earlier results; the first two compute the same.
    )
    infer_from: int | None = Field(
        None,
        ge=1,
        strict=True,
        description="So many samples of a batch decide for all of it; null: all.",
    )
    begin: Literal["random", "knn_best", "knn_all"] = Field(
        "random",
        description="The scores that a model begins with. 'knn_best': those of the earlier model "
        "whose features suit its data best (KKT). 'knn_all': their mean over all that suit. "
        "Random where none does.",
    )
    above: Literal["chance", "own"] = Field(
        "chance",
        description="What the accuracy of an earlier model's neighbours has to exceed. 'chance': 1 "
        "/ classes (the paper), which nearly all do. 'own': that of the new model's random mask, "
        "by two standard errors.",
    )
    neighbours: int = Field(
        20,
        ge=1,
        strict=True,
        description="k: nearest neighbours that vote; the authors take 200 of a fifth of the data.",
    )
    samples: int = Field(
        1000,
        ge=2,
        strict=True,
        description="Training samples of the new model that are looked at; 66 % vote on the rest.",
    )
    seed: int = Field(
        0, ge=0, description="Seeds scores, and samples that are drawn. A suite sets it."
    )

    @property
    def needs_classes(self) -> str | None:
        """The setting ``begin``, where it needs labels."""
        return None if self.begin == "random" else f"begin: {self.begin}"

    @property
    def needs_one_model(self) -> str | None:
        """The setting ``infer``, where the model is not given."""
        return f"infer: {self.infer}" if self.infers else None

    @property
    def needs_labels(self) -> str | None:
        """The setting ``infer``, where it says nothing."""
        return "infer: none" if self.infer == "none" else None

    def facts(self, facts: Facts) -> Facts:
        """Tell where it finds out itself which model a batch is of."""
        return replace(facts, told=facts.told and not self.infers)

    @property
    def infers(self) -> bool:
        """Whether it finds out itself which model a batch is of."""
        return self.infer in ("one_shot", "binary")

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if self.rule == "threshold" and self._is_set("density"):
            raise ValueError("density has no effect with rule: threshold, remove it; or say top_k")
        if not self.infers and self._is_set("infer_from"):
            raise ValueError(f"infer_from has no effect with infer: {self.infer}; remove it")
        for name in ("above", "neighbours", "samples"):
            if self.begin == "random" and self._is_set(name):
                raise ValueError(
                    f"{name} has no effect with begin: random: remove it, or say knn_best"
                )
        return self

    def _is_set(self, name: str) -> bool:
        """Whether a setting differs from its default."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)


class SSNetSettings(SupSupSettings):
    """Settings of supermasks whose weights are trained."""

    density: float = Field(
        0.1, gt=0, le=1, description="Share of the weights of a layer that a model's mask keeps."
    )
    mask_steps: int = Field(
        100,
        ge=1,
        strict=True,
        description="Steps of a training that learn the mask; the others train weights.",
    )

    @property
    def needs_steps(self) -> tuple[str, int]:
        """``mask_steps``."""
        return "mask_steps", self.mask_steps
