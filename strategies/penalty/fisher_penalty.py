"""Common parts of penalties whose importance is the diagonal Fisher information."""

from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import Count
from palimpsest.strategies.base.sparse import dense_gradients
from palimpsest.strategies.curvature.fisher import Estimator, fisher_needs, fisher_of_training
from palimpsest.strategies.penalty.regularizer import Regularizer
from palimpsest.strategies.penalty.settings import RegularizerSettings


class FisherSettings(RegularizerSettings):
    """The settings of penalties whose importance is the diagonal Fisher information."""

    fisher: Literal[Estimator, "training"] = Field(
        "exact",
        description="'exact': expectation over all classes under the model. 'monte_carlo': one "
        "label per sample, drawn from the model. 'empirical': the true labels. 'predicted': the "
        "most probable ones. 'batched': squares of mini-batches' mean gradients, true labels. "
        "'training': the same of the training's own batches, times their size; free, for any loss.",
    )
    batch: Count = Field(
        128, description="Samples of a mini-batch of the batched estimate; the others have none."
    )
    samples: Count = Field(
        1000, description="Training samples that the Fisher information is averaged over."
    )

    @property
    def online(self) -> bool:
        """Whether the Fisher information is that of the training's own batches."""
        return self.fisher == "training"

    def facts(self, facts: Facts) -> Facts:
        """Add what the Fisher information needs, or that it is gathered during training."""
        facts = super().facts(facts)
        if self.fisher == "training":
            return replace(facts, online=True)
        return fisher_needs(facts, self.fisher)


class FisherPenalty(Regularizer):
    """A penalty whose importance is the Fisher information of the model just trained.

    It is estimated at the end of a training (``strategies/curvature/fisher.py``) or, with ``fisher:
    training``, from the gradients that the training takes anyway. With g_b the gradient of the
    mean loss over the n_b targets of batch b, before anything is added to it or it is clipped, and
    B batches in the training::

        F_i = 1/B sum_b n_b g_bi^2

    It costs no pass over data and suits every loss and network. Where the gradients of single
    samples average to zero it estimates the ``empirical`` Fisher information without bias, since
    the variance of a mean over n is 1/n of that of its terms. Elsewhere it is larger, by n_b - 1
    times the square of the mean gradient: early in training above all, and with large batches. It
    is also of all weights on the way, not of the last ones. A batch that does not use a parameter
    counts as a gradient of zero.
    """

    Settings = FisherSettings
    settings: FisherSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.needs_cross_entropy = not self.settings.online
        self._squares: dict[str, Tensor] = {}
        self._batches = 0

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Start the sum of a new model."""
        super().before_training_exp(strategy, *arguments, **keywords)
        self._squares, self._batches = {}, 0

    @torch.no_grad()
    def after_backward(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Add the squares of the batch's gradients."""
        super().after_backward(strategy, *arguments, **keywords)
        if not (self.settings.online and self.gathers):
            return
        self._batches += 1
        own = self.trained()
        for name in own.keys() - self._squares.keys():
            self._squares[name] = torch.zeros_like(own[name])
        if own:
            sums = [self._squares[name] for name in own]
            gradients = dense_gradients(own.values())
            targets = float(strategy.mb_y.numel())
            torch._foreach_addcmul_(sums, gradients, gradients, value=targets)

    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the diagonal Fisher information of the model just trained."""
        settings = self.settings
        if settings.fisher != "training":
            return fisher_of_training(
                strategy,
                parameters,
                estimator=settings.fisher,
                samples=settings.samples,
                batch=settings.batch,
                seed=settings.seed + self.models_seen,
            )
        squares, self._squares = self._squares, {}
        return {name: squares[name] / self._batches for name in parameters}
