"""What listings say of strategies; importing this needs no torch.

What ships is imported once and then kept in the user's cache until its files change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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
    """A strategy as listings show it.

    Attributes:
        facts: Those of its class.
        module: Where the class is imported from.
        class_name: Its name.
        settings: Its settings.
    """

    facts: Facts
    module: str
    class_name: str
    settings: tuple[SettingText, ...]

    @classmethod
    def of(cls, strategy: type[Any]) -> Self:
        """Return what there is to show of a class."""
        package = strategy.__module__.rpartition(".")[0]
        module = package if package == catalogue.PACKAGE else strategy.__module__
        settings = SettingText.of(strategy.Settings)
        return cls(strategy.facts, module, strategy.__name__, settings)


@dataclass(frozen=True)
class _Kept:
    """What ships, as it is kept.

    Attributes:
        digest: Of the files that it was made from.
        strategies: By name.
    """

    digest: str
    strategies: dict[str, ShownStrategy]


_KEPT = TypeAdapter(_Kept)


def shown_strategy(name: str) -> ShownStrategy:
    """Return what there is to show of a strategy.

    Args:
        name: One of ``STRATEGIES``.
    """
    return _shipped()[name] if name in STRATEGIES.shipped else ShownStrategy.of(STRATEGIES[name])


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
