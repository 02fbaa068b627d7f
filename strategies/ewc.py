"""Elastic weight consolidation."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import Share
from palimpsest.strategies.penalty.fisher_penalty import FisherPenalty, FisherSettings
from palimpsest.strategies.penalty.quadratic import merge


class EWCSettings(FisherSettings):
    """Settings of elastic weight consolidation."""

    form: Literal["per_model", "online"] = Field(
        "per_model",
        description="'per_model': one Fisher information and anchor per model (Kirkpatrick et al. "
        "2017). 'online': one running sum, anchored at the latest weights (Schwarz et al. 2018).",
    )
    decay: Share = Field(
        1.0,
        description="gamma of the online form: the factor of the old sum when a model is added.",
    )


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

    Limits:
        The Fisher information is a quadratic around the earlier model's end, and diagonal: it is
        accurate nearby, and ignores that parameters can compensate for each other. A model that is
        certain of all its samples has almost none. It is estimated once, at the end of a training,
        from ``samples`` samples. Samples must have gradients of their own: a network that mixes the
        samples of a batch in evaluation mode, as batch normalisation without running statistics
        does, is refused. That holds for all strategies here whose importance is per sample: MAS,
        RWalk, WPL and its full form, too.
    """

    facts = Facts(
        name="ewc",
        summary="elastic weight consolidation: Fisher information of each earlier model",
        source="Kirkpatrick et al., PNAS 2017; online form: Schwarz et al., ICML 2018",
        dial=STRENGTH,
        color="#56b4e9",
        same_with_two="the penalty of EWC",
        ends_only=True,
    )
    Settings = EWCSettings
    settings: EWCSettings

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the new quadratic to the old ones."""
        if name not in self.importances:
            return importance, value
        if self.settings.form == "online":
            return self.settings.decay * self.importances[name] + importance, value
        return merge(self.importances[name], self.anchors[name], importance, value)
