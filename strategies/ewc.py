"""Elastic weight consolidation."""

from __future__ import annotations

from torch import Tensor

from palimpsest.strategies.penalty.fisher_penalty import FisherPenalty
from palimpsest.strategies.penalty.quadratic import merge
from palimpsest.strategies.settings import EWCSettings


class EWC(FisherPenalty):
    """Protect what the earlier models learned by its Fisher information (EWC).

    Per model (the default), with a Fisher information and an anchor for each earlier model k:
    ``strength/2 * sum_k sum_i F_ki (theta_i - theta*_ki)^2``. The quadratics are merged
    into one, which is exact, so that memory and time do not grow with the number of models.
    Source: Kirkpatrick et al., Overcoming catastrophic forgetting, PNAS 2017, equation 3.

    Online: ``strength/2 * sum_i F_i (theta_i - theta*_i)^2`` with ``F <- decay * F + F_new`` and
    the anchor at the latest weights. Source: Schwarz et al., Progress & Compress, ICML 2018,
    equations 8 and 9. A parameter that a model does not use keeps its sum and anchor.

    All parameters of the earlier models have importance, including their private ones; the penalty
    acts on those that the current model trains.
    """

    Settings = EWCSettings
    settings: EWCSettings

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new quadratic to the old ones."""
        if name not in self.importances:
            return importance, value
        if self.settings.form == "online":
            return self.settings.decay * self.importances[name] + importance, value
        return merge(self.importances[name], self.anchors[name], importance, value)
