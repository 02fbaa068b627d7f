"""The running average of weights."""

from typing import Any

from torch import nn

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.merging.merging import Merging, Values


class RunningAverage(Merging):
    """Average the weights of all models that share them, each trained apart.

    When the model t + 1 of those that use a parameter has been trained::

        theta_m <- (t theta_m + theta_t) / (t + 1)

    so that theta_m is the mean of their weights; kept is its distance from the start.

    Source: the baseline of Tang et al., Merging Models on the Fly Without Retraining, NeurIPS 2025,
    and of its program, github.com/tanganke/opcm.

    Attributes:
        displacements: ``theta_m - theta_0``, by name.
        counts: How many trainings each mean is of, by name.

    Limits:
        It is ``task_arithmetic`` at a scale of 1 / models: 80.1 % on the turned images of
        ``task_arithmetic``, 52.1 % on the permutations. See there for the limits of all that merge.
    """

    facts = Facts(
        name="running_average",
        summary="train each model apart from one start, average the weights",
        source="the baseline of Tang et al., Merging Models on the Fly Without Retraining, "
        "NeurIPS 2025",
        merges=True,
        keeps_statistics=True,
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.displacements: Values = {}
        self.counts: dict[str, int] = {}

    def take(self, model: nn.Module, index: int, trained: Values, began: Values) -> None:
        """Renew the means."""
        for name, value in trained.items():
            own = value - self.starts[name]
            t = self.counts.get(name, 0)
            mean = fitted(self.displacements[name], own.shape) if t else own
            self.displacements[name] = (t * mean + own) / (t + 1)
            self.counts[name] = t + 1

    def merged(self, index: int) -> Values:
        """Return the means."""
        return {
            name: self.starts[name] + fitted(own, self.starts[name].shape)
            for name, own in self.displacements.items()
        }
