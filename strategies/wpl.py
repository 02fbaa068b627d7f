"""The weight plasticity loss."""

from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import NonNegative, Positive
from palimpsest.strategies.base.sparse import changing_gradients
from palimpsest.strategies.penalty.fisher_penalty import FisherPenalty, FisherSettings
from palimpsest.strategies.penalty.quadratic import merge


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


class WPL(FisherPenalty):
    """Protect the parameters that models share by the earlier models' Fisher information (WPL).

    The loss of the new model is ``L(theta_private, theta_shared) + strength/2 * sum_{i shared}
    F_i (theta_i - theta*_i)^2``, with the anchor ``theta*`` at the latest weights; private
    parameters move freely. With more than two models F is a running average over the models
    that used a parameter, ``F <- momentum * F + (1 - momentum) * F_new`` (the first one as it is),
    with each tensor's norm clipped if ``clip`` is set; ``combine`` has the sum and the largest in
    its place. With ``anchor: weighted`` theta* is where the combined quadratics of all those models
    are smallest, so that the penalty is theirs up to a constant. The strength is never multiplied
    into the stored F; in the authors' code it is, and compounds (see ``WPLOfficial``). With
    ``weight_decay`` the paper's Gaussian priors on the shared and private weights are added while a
    later model trains: ``weight_decay/2 * theta_i^2``.

    ``strength_decay`` lowers the strength from epoch to epoch, as the authors' program does.

    With two models this is EWC with the same Fisher information: the second model never touches
    what is private to the first. From the third model on they differ.

    Source: Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, equation 8 with
    the diagonal approximation of section 3.2.

    Limits:
        As for EWC; in addition, the importance of a model fades by the factor ``momentum`` with
        each later model that uses the parameter. The anchor is at the latest weights, so a drift
        that the penalty has allowed is never undone. With two models it is EWC.
    """

    facts = Facts(
        name="wpl",
        summary="weight plasticity loss: Fisher information on shared parameters, moving anchor",
        source="Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019",
        dial=STRENGTH,
        color="#0173b2",
        same_with_two="the penalty of EWC",
        ends_only=True,
    )
    Settings = WPLSettings
    settings: WPLSettings

    @torch.no_grad()
    def before_update(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Add the gradient of the priors, then what every regularizer adds."""
        if self.settings.weight_decay > 0 and self.models_seen > 0:
            trained: list[Tensor] = [p for p in self._parameters.values() if p.grad is not None]
            with changing_gradients(trained) as gradients:
                torch._foreach_add_(gradients, trained, alpha=self.settings.weight_decay)
        super().before_update(strategy, *arguments, **keywords)

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Combine the Fisher information of all models, and move the anchor."""
        if name in self.importances:
            importance, value = self._combined(name, importance, value)
        if self.settings.clip is not None:
            norm = importance.norm().clamp_min(torch.finfo(importance.dtype).tiny)
            importance = importance * (self.settings.clip / norm).clamp_max(1)
        return importance, value

    def _combined(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Combine what is new of a parameter with what is known of it, before any clipping."""
        known, momentum = self.importances[name], self.settings.momentum
        old, new = known, importance
        if self.settings.combine == "max":
            total = torch.maximum(known, importance)
        elif self.settings.combine == "sum":
            total = known + importance
        else:
            total = torch.lerp(importance, known, momentum)
            old, new = momentum * known, (1 - momentum) * importance
        if self.settings.anchor == "weighted":
            _, value = merge(old, self.anchors[name], new, value)
        return total, value
