"""Strategies as listings show them; importing this needs no torch.

Shipped strategies are imported once and then kept in the user's cache until their files change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from palimpsest.benchmark.data.cache import STRATEGIES as FOLDER
from palimpsest.benchmark.data.cache import keep_note, note
from palimpsest.benchmark.settings import text
from palimpsest.benchmark.settings.text import SettingText
from palimpsest.strategies.base import catalogue
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.facts import Facts


@dataclass(frozen=True)
class ShownStrategy:
    """A strategy as listings show it."""

    facts: Facts
    module: str
    class_name: str
    settings: tuple[SettingText, ...]

    @classmethod
    def of(cls, strategy: type[Any]) -> Self:
        """Read them from the strategy's class."""
        package = strategy.__module__.rpartition(".")[0]
        module = package if package == catalogue.PACKAGE else strategy.__module__
        settings = SettingText.of(strategy.Settings)
        return cls(strategy.facts, module, strategy.__name__, settings)


@dataclass(frozen=True)
class _Kept:
    """The shipped strategies in the cache, with a digest of the files that they were read from."""

    digest: str
    strategies: dict[str, ShownStrategy]


_KEPT = TypeAdapter(_Kept)


def shown_strategy(name: str) -> ShownStrategy:
    """Return how listings show a strategy, by its name in ``STRATEGIES``."""
    if name in STRATEGIES.shipped:
        return _shipped()[name]
    from palimpsest.benchmark.plugins.source import MODULE_PREFIX

    shown = ShownStrategy.of(STRATEGIES[name])
    return replace(shown, module=shown.module.removeprefix(MODULE_PREFIX))


@cache
def _shipped() -> dict[str, ShownStrategy]:
    digest = hashlib.sha256()
    for path in [*sorted(catalogue.FOLDER.rglob("*.py")), Path(text.__file__), Path(__file__)]:
        digest.update(path.read_bytes() + b"\0")
    name = hashlib.sha256(str(catalogue.FOLDER).encode()).hexdigest()[:16]  # one an installation
    try:
        kept = _KEPT.validate_json(note(FOLDER, name) or "")
    except ValidationError:  # none, or damaged
        kept = None
    if kept is None or kept.digest != digest.hexdigest():
        found = {each: ShownStrategy.of(STRATEGIES[each]) for each in STRATEGIES.shipped}
        kept = _Kept(digest.hexdigest(), found)
        keep_note(FOLDER, name, _KEPT.dump_json(kept).decode())
    return kept.strategies
