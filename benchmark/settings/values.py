"""The base class of all settings, and the types of their values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Rate = Annotated[float, Field(ge=1e-30, le=1e30)]
"""A positive number whose square is one in single precision, too."""

Decay = Annotated[float, Field(ge=0, le=1e30)]
Degrees = Annotated[float, Field(ge=-1e6, le=1e6)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
_MOST = 2**31 - 1
Count = Annotated[int, Field(ge=1, le=_MOST, strict=True)]
Several = Annotated[int, Field(ge=1, le=10_000, strict=True)]
"""A number of things that each take memory and time, such as models or layers."""

CountFromZero = Annotated[int, Field(ge=0, le=_MOST, strict=True)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Settings(BaseModel):
    """Settings that refuse unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def named(value: Any) -> Any:
    """Return a mapping with the name, where a suite has the name alone; else the value itself."""
    return {"name": value} if isinstance(value, str) else value


BY_NAME = BeforeValidator(named)
"""For settings with a ``name``: a suite may give the name alone."""
