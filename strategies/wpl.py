"""The weight plasticity loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from palimpsest.strategies.base.sparse import dense_gradients, keep_sparse_
from palimpsest.strategies.penalty.fisher_penalty import FisherPenalty
from palimpsest.strategies.penalty.quadratic import merge
from palimpsest.strategies.settings import WPLSettings


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
    """

    Settings = WPLSettings
    settings: WPLSettings

    @torch.no_grad()
    def before_update(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Add the gradient of the priors, then what every regularizer adds."""
        if self.settings.weight_decay > 0 and self.models_seen > 0:
            trained: list[Tensor] = [p for p in self._parameters.values() if p.grad is not None]
            gradients = dense_gradients(trained)
            torch._foreach_add_(gradients, trained, alpha=self.settings.weight_decay)
            keep_sparse_(trained, gradients)
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
