"""Memory aware synapses."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.settings import Count
from palimpsest.strategies.curvature.fisher import draw, mean_over_labels
from palimpsest.strategies.curvature.sensitivity import output_sensitivity
from palimpsest.strategies.penalty.regularizer import Regularizer
from palimpsest.strategies.penalty.settings import RegularizerSettings


class MASSettings(RegularizerSettings):
    """Settings of memory aware synapses."""

    samples: Count = Field(
        1000, description="Training samples that the sensitivity of the outputs is averaged over."
    )


class MAS(Regularizer):
    """Protect parameters by how much the earlier models' outputs depend on them (MAS).

    The importance of a parameter for one model, with logits f and N samples of its training
    data, is ``Omega_i = 1/N sum_n |d ||f(x_n)||^2 / d theta_i|``. It needs no labels. The absolute
    value is that of each sample's gradient, as in the paper; the authors' code takes that of a
    batch's, which shrinks as batches grow.

    The importances of all models that used a parameter are summed, and the anchor is at the
    latest weights. The paper's term is ``lambda * sum_i Omega_i (theta_i - theta*_i)^2``: its
    lambda is half our strength.

    Source: Aljundi et al., Memory Aware Synapses: Learning what (not) to forget, ECCV 2018,
    section 4, in the form with the outputs' squared norm; the sum is in the authors' code.

    Limits:
        The squared norm of the logits weights classes by the size of their logits. Importances of
        all models are summed, so the network becomes stiffer with each model.
    """

    facts = Facts(
        name="mas",
        summary="memory aware synapses: sensitivity of each earlier model's outputs, without "
        "labels",
        source="Aljundi et al., ECCV 2018",
        dial=STRENGTH,
        color="#de8f05",
        ends_only=True,
        needs=Needs(classes="mas", single_samples="mas"),
    )
    Settings = MASSettings
    settings: MASSettings

    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the sensitivity of the outputs of the model just trained."""
        generator = torch.Generator().manual_seed(self.settings.seed + self.models_seen)
        x, _, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)

        def of_label(label: int, own: Tensor) -> dict[str, Tensor]:
            inputs = x[own].to(strategy.device)
            return output_sensitivity(strategy.model, parameters, inputs, task_label=label)

        return mean_over_labels(parameters, labels, of_label)
