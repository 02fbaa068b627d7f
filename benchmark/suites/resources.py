"""The resources that a run needs on a cluster; no result depends on them."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]I?B)\s*", re.IGNORECASE)


class Resources(BaseModel):
    """Reserved for each run of a suite, where a cluster does the runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cpus: float = Field(1.0, gt=0, description="Processors; below 1, runs share one.")
    gpus: float | None = Field(
        None, ge=0, description="GPUs, with --device cuda; below 1, runs share one. Default: 1."
    )
    memory: int | None = Field(None, gt=0, description="Memory, such as 4 GB.")

    @field_validator("cpus", "gpus")
    @classmethod
    def _whole_above_one(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("expected a whole number, or a fraction below 1")
        return value

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        if value is None:
            return value
        amount = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
        if amount is None:
            raise ValueError("expected an amount with its unit, such as 4 GB or 500 MiB")
        return int(float(amount[1]) * _UNITS[amount[2].upper()])

    def gpus_on(self, device: str) -> float:
        """Return the number of GPUs of a run on a device."""
        if device == "cpu":
            return 0.0
        return 1.0 if self.gpus is None else self.gpus

    def told(self, device: str) -> str:
        """Write them in words."""
        words = [f"{self.cpus:g} CPU"]
        if gpus := self.gpus_on(device):
            words.append(f"{gpus:g} GPU")
        if self.memory:
            words.append(f"{self.memory / 1e9:.3g} GB of memory")
        return ", ".join(words)
