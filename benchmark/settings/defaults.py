"""Finds the settings that are at their defaults; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_CHOICES = frozenset({"name", "family"})
"""Settings that choose the class of the others."""


def at_defaults(
    settings: BaseModel, written: Mapping[str, Any], usual: BaseModel | None = None
) -> Iterator[str]:
    """Name the settings that are at their defaults, those inside of others by dotted names.

    Args:
        settings: The settings.
        written: What of them is stored.
        usual: The default of the setting that they are the value of. If it is of another class,
            they are compared with the defaults of their own class, and their name is yielded, too.
    """
    same = type(usual) is type(settings)
    for name, value in written.items():
        own, field = getattr(settings, name), type(settings).model_fields[name]
        default = field.get_default(call_default_factory=True)
        default = getattr(usual, name) if same else default
        if own == default and (same or name not in _CHOICES):
            yield name
        elif isinstance(own, BaseModel) and isinstance(value, Mapping):
            yield from (f"{name}.{inside}" for inside in at_defaults(own, value, default))
