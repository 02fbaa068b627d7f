"""Common parts of strategies that choose rows by their Fisher information."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import Count, Seed
from palimpsest.strategies.curvature.fisher import Estimator, fisher_needs, fisher_of_training
from palimpsest.strategies.masks.held_rows import HeldRows, RowSettings


class FisherRowSettings(RowSettings):
    """The settings of strategies that choose rows by their Fisher information."""

    fisher: Estimator = Field(
        "exact",
        description="Of which labels: 'exact', 'monte_carlo', 'empirical', 'predicted' or "
        "'batched', see EWC.",
    )
    samples: Count = Field(
        1000, description="Training samples that the Fisher information is averaged over."
    )
    batch: Count = Field(128, description="Samples of a mini-batch of the batched estimate.")
    seed: Seed = 0

    def facts(self, facts: Facts) -> Facts:
        """Add what the Fisher information needs."""
        return fisher_needs(super().facts(facts), self.fisher)


class FisherRows(HeldRows):
    """Holds a share of the rows, by the diagonal Fisher information of some model."""

    Settings = FisherRowSettings
    settings: FisherRowSettings

    def fisher(self, strategy: Any, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the Fisher information on the data of the current training."""
        return fisher_of_training(
            strategy,
            parameters,
            estimator=self.settings.fisher,
            samples=self.settings.samples,
            batch=self.settings.batch,
            seed=self.settings.seed + self.models_seen,
        )
