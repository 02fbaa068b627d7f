"""The settings of every strategy, and numbers that they are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from palimpsest.strategies.base.facts import Facts

NonNegative = Annotated[float, Field(ge=0, le=1e30)]
Positive = Annotated[float, Field(ge=1e-30, le=1e30)]
"""A number whose square is positive and finite in single precision, nearly."""

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=0, description="Seeds what is drawn at random. A suite sets it.")]


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
