"""Which settings of a scenario have a meaning beside its others; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PLAIN = ("mlp", "cnn")
"""Networks that families build layer by layer, from depth and width."""

OF_PLAIN = ("width", "activation", "initial_weights", "hidden_layers", "shared_layers")
"""Settings that only these networks have."""

NOT_OF_SEARCHES = (*("network", "width", "activation", "online", "warmup", "curve"),)
"""Common settings that have no meaning in a search of architectures."""

NOT_OF_SHARED_WEIGHTS = ("learning_rate_schedule",)
"""Common settings that have none where architectures share weights."""

OF_SHARED_WEIGHTS = (
    *("sampler", "warm_start", "visits", "batches", "measured", "ranked"),
    *("learning_rate_decay", "decay_after", "cut_after_warm_start"),
)
"""Settings of a search that have none where architectures are trained alone."""

OF_TEXT = ("words", "length")
"""Settings of a search that have none where the data are images."""


def settings_in_use(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a scenario without those that have no meaning beside the others.

    Args:
        settings: As they are stored; an older version may lack some.
    """
    unused: set[str] = set()
    if "supernet" in settings:
        unused |= {*NOT_OF_SEARCHES, *OF_PLAIN}
        shared = settings.get("shared", True)
        unused |= {*(NOT_OF_SHARED_WEIGHTS if shared else OF_SHARED_WEIGHTS)}
        if not str(settings.get("data")).startswith("text:"):
            unused |= {*OF_TEXT}
    elif _name(settings.get("network", PLAIN[0])) not in PLAIN:
        unused |= {*OF_PLAIN}
    return {name: value for name, value in settings.items() if name not in unused}


def _name(network: Any) -> Any:
    return network.get("name") if isinstance(network, Mapping) else network
