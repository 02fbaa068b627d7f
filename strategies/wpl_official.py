"""The weight plasticity loss as its authors' program computes it."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import NonNegative, Positive, PositiveShare
from palimpsest.strategies.base.sparse import changing_gradients, dense_gradients
from palimpsest.strategies.penalty.regularizer import Regularizer
from palimpsest.strategies.penalty.settings import Application, Protect, RegularizerSettings


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
    renewal: PositiveShare = Field(
        0.9,
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


class WPLOfficial(Regularizer):
    """Do what the authors' program of WPL does, where that is not what the paper says.

    After each training, with g the gradient of the loss of one batch, its mean over the samples::

        F <- strength * clip((1 - renewal) * F + renewal * g^2)

    tensor by tensor, from F = 0, where clip scales a tensor down to a Euclidean norm of at most
    ``norm``. So the strength is multiplied into what is kept, and compounds: with the defaults old
    importance grows by a factor of 6 at each visit, until the norm stops it at strength * norm.
    The penalty is ``1/2 * sum_i F_i (theta_i - theta*_i)^2``, with the anchor at the latest
    weights, and its gradient is added to the loss's. What keeps that from diverging is a clipping
    of both together (a scenario's ``clip_gradient``), which then holds back the loss, too: with
    ``clipped: separately`` one can see what the importance does without that.

    A parameter that the training used, but not its last batch, is reset to F = 0, as the program
    does where there is no gradient. One that the training did not use keeps F. Differences from the
    program: it takes the batch from the validation data, which here stay unseen; this is the last
    batch of the training, before its step. With ``strength_decay`` it is the strength of the epoch
    that is multiplied in (the program's alpha_decay is an amount, here it is a share).

    It is here for comparison, not for use; ``WPL`` is the method.

    Source: github.com/kcyu2014/multi-model-forgetting, models/wpl_module.py and trainer.py; the
    method is that of Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019.

    Limits:
        It is there to reproduce the program, not to be used. The strength compounds: importance is
        governed by how many visits there were since the last reset. Without a clipping of gradients
        the penalty diverges as soon as step size * importance exceeds 2; with ``clip_gradient`` the
        penalty's gradient, which is the longer one, also holds back the loss. It fails one property
        of the kit for that reason (``precision changes rounding alone``).
    """

    facts = Facts(
        name="wpl_official",
        summary="weight plasticity loss as the authors' program computes it: a strength that "
        "compounds",
        source="program of Benyahia, Yu et al., github.com/kcyu2014/multi-model-forgetting",
        dial=STRENGTH,
        online=True,
    )
    Settings = WPLOfficialSettings
    settings: WPLOfficialSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.clipped_with_loss = self.settings.clipped == "together"
        self._squares: dict[str, Tensor] = {}

    def strength_in_force(self) -> float:
        """Return 1: the strength is in the importances."""
        return 1.0

    @torch.no_grad()
    def observe_gradients(self) -> None:
        """Keep the squares of the batch's gradients, in place of those of the batch before."""
        own = self.trained()
        gradients = dense_gradients(own.values())
        self._squares = {n: g.square() for n, g in zip(own, gradients, strict=True)}

    @torch.no_grad()
    def before_update(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Add the penalty's gradient, clipped by itself if that is asked for."""
        if self.settings.clipped == "together" or self.settings.application != "gradient":
            super().before_update(strategy, *arguments, **keywords)
            return
        self.note_gradients()
        if self.settings.strength > 0:
            self._add_clipped(strategy.optimizer)

    def _add_clipped(self, optimizer: Any) -> None:
        blocks = self._blocks_now(optimizer)
        parameters = [p for block in blocks for p in block.parameters]
        if not parameters:
            return
        anchors = [a for block in blocks for a in block.anchors]
        importances = [i for block in blocks for i in block.importances]
        forces = list(torch._foreach_mul(torch._foreach_sub(parameters, anchors), importances))
        length = torch.stack(torch._foreach_norm(forces)).norm()
        torch._foreach_mul_(forces, (self.settings.penalty_norm / (length + 1e-6)).clamp_max(1))
        with changing_gradients(parameters) as gradients:
            torch._foreach_add_(gradients, forces)

    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the squared gradients of the last batch; zeros where there was none."""
        return {
            name: self._squares.get(name, torch.zeros_like(value.detach()))
            for name, value in parameters.items()
        }

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Renew and clip the importance, and multiply the strength in."""
        if name not in self._squares:
            return importance, value
        renewal, limit = self.settings.renewal, self.settings.norm
        renewed = renewal * importance
        if name in self.importances:
            renewed += (1 - renewal) * self.importances[name]
        if limit is not None:
            length = torch.linalg.vector_norm(renewed, dtype=torch.float64)
            renewed *= (limit / length.clamp_min(limit)).to(renewed.dtype)
        return self.decayed_strength() * renewed, value
