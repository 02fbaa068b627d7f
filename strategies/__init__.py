"""Methods against forgetting, as Avalanche plugins.

Each is a file of this folder and works in any Avalanche program, without the harness::

    from palimpsest.strategies import WPL
    Naive(model=model, optimizer=optimizer, plugins=[WPL(strength=1e6)])

A class is imported on first use. Its file has its name, in lower case and with underscores.
"""

from importlib import import_module
from typing import Any

from palimpsest.strategies.base.catalogue import STRATEGIES

_ELSEWHERE = {"Regularizer": "penalty.regularizer"}
"""Classes to derive from that are no methods, and their modules."""


def __dir__() -> list[str]:
    return sorted({*_ELSEWHERE, *(STRATEGIES[name].__name__ for name in STRATEGIES.shipped)})


def __getattr__(name: str) -> Any:
    modules = {each.replace("_", ""): each for each in STRATEGIES.shipped}
    module = _ELSEWHERE.get(name, modules.get(name.lower()))
    found = module and getattr(import_module(f"palimpsest.strategies.{module}"), name, None)
    if found is None:
        raise AttributeError(f"module 'palimpsest.strategies' has no attribute {name!r}")
    return found
