"""What a suite chooses by a name: the name alone, or a mapping with settings beside it."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator


def named(value: Any) -> Any:
    """Return a name alone as the mapping that it stands for, and anything else as it is."""
    return {"name": value} if isinstance(value, str) else value


BY_NAME = BeforeValidator(named)
"""Of every setting that has a ``name`` and settings of its own."""
