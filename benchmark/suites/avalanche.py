"""Avalanche's own strategies: their names in suites, and facts by name. Imports no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings

AVALANCHE = "avalanche:"
"""Prefix of a strategy that is an Avalanche class."""

_STORE = (
    *("AGEM", "AR1", "BiC", "CoPE", "Cumulative", "DER", "ER_ACE", "ER_AML", "FeatureReplay"),
    *("GDumb", "GEM", "GSS_greedy", "ICaRL", "MIR", "Replay", "SCR"),
)
"""Classes that keep samples of earlier models."""

_MOVES_UNUSED = (
    *("LwF", "LFL"),  # distillation
    *("Cumulative", "DER", "GDumb", "MIR", "RAR", "Replay"),  # earlier models' samples
    "FromScratchTraining",
)
"""Classes that move parameters that the current model does not use, by design."""

_AT_ONCE = ("JointTraining",)
"""Classes that train on the whole stream in one call."""

STRENGTHS = {
    "EWC": "ewc_lambda",
    "SynapticIntelligence": "si_lambda",
    "MAS": "lambda_reg",
    "RWalk": "ewc_lambda",
    "LwF": "alpha",
    "LFL": "lambda_e",
}
"""The argument that is the strength of a class's penalty."""

ARGUMENTS: dict[str, dict[str, Any]] = {"LwF": {"temperature": 2.0}}
"""Other arguments that a class cannot be made without."""

FINE_TUNING = "Naive"
"""The class that protects nothing."""

CANNOT = {
    "AETraining": "trains an autoencoder, not a classifier",
    "AR1": "brings a network of its own, and its weights from the internet",
    "BiC": "corrects a single growing output layer, which a model bank does not have",
    "DER": "calls the network without task labels; the strategy der is dark experience replay",
    "LFL": "needs features of the network, which a model bank does not tell",
    "VAETraining": "trains an autoencoder, not a classifier",
}
"""Classes that cannot train a model bank, with the reason."""


class AvalancheSettings(StrategySettings):
    """An Avalanche strategy class, used as it is shipped."""

    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the class's constructor."
    )


def facts_of_avalanche(kind: str) -> Facts:
    """Return the facts of one of Avalanche's classes, named ``avalanche:CLASS``."""
    name = kind.removeprefix(AVALANCHE)
    return Facts(
        name=kind,
        summary=f"Avalanche's {name}",
        source="Avalanche",
        trains="at once" if name in _AT_ONCE else "in turn",
        stores=name in _STORE,
        needs_its_model=True,
        moves_unused=name in _MOVES_UNUSED,
    )
