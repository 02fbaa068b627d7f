"""The settings of every strategy, and numbers that they are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from palimpsest.strategies.base.facts import Facts

NonNegative = Annotated[float, Field(ge=0, le=1e30)]
Positive = Annotated[float, Field(ge=1e-30, le=1e30)]
"""A number whose square is positive and finite in single precision, nearly."""


class StrategySettings(BaseModel):
    """Settings of a strategy; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def facts(self, facts: Facts) -> Facts:
        """Return the facts of the strategy as they are with these settings.

        Args:
            facts: Those of its class.
        """
        return facts

    def differs(self, name: str) -> bool:
        """Whether a setting is not at its default."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def needs_edges(self) -> str | None:
        """The setting that names the edges of a supernet; ``None`` if none does."""
        return None

    @property
    def needs_sgd(self) -> str | None:
        """The setting that works behind stochastic gradient descent alone; ``None``: none does."""
        return None

    @property
    def needs_classes(self) -> str | None:
        """What needs logits of shape (samples, classes) and cross-entropy; ``None``: nothing."""
        return None

    @property
    def needs_one_model(self) -> str | None:
        """What needs the same model for all experiences; ``None``: nothing."""
        return None

    @property
    def needs_labels(self) -> str | None:
        """The setting that takes a sample's task label for known; ``None``: none does."""
        return None

    @property
    def needs_single_samples(self) -> str | None:
        """What needs the gradients of single samples; ``None``: nothing."""
        return None

    @property
    def needs_a_look(self) -> bool:
        """Whether even a network that ships may be none that the method can act on."""
        return False

    @property
    def needs_steps(self) -> tuple[str, int] | None:
        """The setting that takes the first steps of every training, and how many.

        A training needs more, or else what these steps are for is never used; ``None``: no setting.
        """
        return None
