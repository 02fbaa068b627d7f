"""Avalanche's own strategies as a suite names them; importing this needs no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.settings import StrategySettings

AVALANCHE = "avalanche:"
"""Prefix of a strategy that is an Avalanche class."""

_STORE = (
    *("AGEM", "AR1", "BiC", "CoPE", "Cumulative", "DER", "ER_ACE", "ER_AML", "FeatureReplay"),
    *("GDumb", "GEM", "GSS_greedy", "ICaRL", "MIR", "Replay", "SCR"),
)
"""Classes that keep samples of earlier models."""


class AvalancheSettings(StrategySettings):
    """An Avalanche strategy class, used as it is shipped."""

    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the class's constructor."
    )


def facts_of_avalanche(kind: str) -> Facts:
    """Return what others must know of one of Avalanche's classes.

    Args:
        kind: ``avalanche:`` and the class's name.
    """
    name = kind.removeprefix(AVALANCHE)
    return Facts(
        kind, f"Avalanche's {name}", "Avalanche", stores=name in _STORE, needs_its_model=True
    )
