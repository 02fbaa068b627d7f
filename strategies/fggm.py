"""Fisher-guided gradient masking."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import SHARE, Facts
from palimpsest.strategies.base.likelihood import as_trained
from palimpsest.strategies.base.seeded import seeded
from palimpsest.strategies.masks.fisher_rows import FisherRows, FisherRowSettings
from palimpsest.strategies.masks.output_rows import row_sums


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
            if self.rows == "random" and self.differs(name):
                raise ValueError(f"{name} has no effect with rows: random: remove it")
        return self

    def facts(self, facts: Facts) -> Facts:
        """Drop what the Fisher information needs, where rows are drawn."""
        facts = super().facts(facts)
        return facts.needing(classes=None, single_samples=None) if self.rows == "random" else facts


class FGGM(FisherRows):
    """Let a model change only the shared rows that matter most to itself (FGGM).

    Before a model trains, a row of a shared parameter (all weights that lead to one output of a
    layer; a bias is a row of its own) scores the sum of its diagonal Fisher information on the new
    model's data, at the weights that earlier models left. The ``share`` of rows with the lowest
    scores does not move. The first model trains everything, and so does each model where no
    earlier one did.

    It protects by changing little, not what earlier models need: where models learn the same
    data, the free rows are those that these need, too. ``freeze_important`` is its inverse.

    A reconstruction: there is no program of the authors, and texts about the paper differ on
    whether the threshold is that of each layer or of all (``among``), and whether it holds 0.7 or
    0.3 of the rows; here 0.7 is held.

    Source: Tan et al., Fisher-guided gradient masking, arXiv 2601.18261, as others tell it.

    Limits:
        A reconstruction, and no protection of what earlier models need: compare it with
        ``freeze_important`` at the same share, and with ``rows: random``, which frees as many rows
        that mean nothing. Its Fisher information is that of one moment, before the training.
    """

    facts = Facts(
        name="fggm",
        summary="Fisher-guided masks: change only the shared rows that matter most to the new "
        "model",
        source="Tan et al., arXiv 2601.18261, 2026, as others tell it",
        dial=SHARE,
        ends_only=True,
    )
    Settings = FGGMSettings
    settings: FGGMSettings
    holds_highest = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._fisher: dict[str, Tensor] = {}

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return 1, since each model chooses what it holds; 0 where that is everything."""
        return self.free_where_chosen(model, self._shared)

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Estimate the Fisher information of the model that is to train."""
        super().before_training_exp(strategy, *arguments, **keywords)
        shared = {n: p for n, p in self._parameters.items() if n in self._shared}
        chosen = self.settings.share > 0 and self.settings.rows == "fisher"
        wanted = shared if chosen else {}
        self._fisher = {}
        if wanted:
            with as_trained(strategy):
                self._fisher = self.fisher(strategy, wanted)

    def scores(self, shared: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return the sums of the Fisher information, or random numbers."""
        if self.settings.rows == "random":
            generator = seeded(self.settings.seed, self.models_seen)
            return {
                name: torch.rand(p.shape[self._axes[name]] if p.ndim else 1, generator=generator)
                for name, p in shared.items()
            }
        return {name: row_sums(self._fisher[name], self._axes[name]) for name in shared}
