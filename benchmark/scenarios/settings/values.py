"""The types of values that settings of scenarios have, and what all such settings are."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(ge=1e-30, le=1e30)]
"""A positive number whose square is one in single precision, too."""

Decay = Annotated[float, Field(ge=0, le=1e30)]
Degrees = Annotated[float, Field(ge=-1e6, le=1e6)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
_MOST = 2**31 - 1
Count = Annotated[int, Field(ge=1, le=_MOST, strict=True)]
Several = Annotated[int, Field(ge=1, le=10_000, strict=True)]
"""How many of what each takes memory and time of its own: models, layers."""

CountFromZero = Annotated[int, Field(ge=0, le=_MOST, strict=True)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Settings(BaseModel):
    """Settings that refuse unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
