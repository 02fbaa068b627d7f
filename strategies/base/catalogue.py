"""All methods by name: the files of the folder ``strategies``, and what plugins add.

A method is a class with ``facts`` of its own. Names need no torch; a class is imported when it is
asked for.
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from palimpsest.strategies.base.settings import StrategySettings

PACKAGE = "palimpsest.strategies"
FOLDER = Path(__file__).parents[1]
"""Each of its files is a method, with the method's name; its folders have what methods share."""


class Strategies(MutableMapping[str, type[Any]]):
    """The classes of all methods, by name.

    Attributes:
        shipped: The names of those that are files of the folder.
        added: Those that plugins have added.
    """

    def __init__(self) -> None:
        self.shipped = tuple(sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__"))
        self.added: dict[str, type[Any]] = {}

    def __getitem__(self, name: str) -> type[Any]:
        if name in self.added:
            return self.added[name]
        if name not in self.shipped:
            raise KeyError(name)
        (found,) = methods_in(import_module(f"{PACKAGE}.{name}"))
        return found

    def __setitem__(self, name: str, strategy: type[Any]) -> None:
        self.added[name] = strategy

    def __delitem__(self, name: str) -> None:
        del self.added[name]

    def __contains__(self, name: object) -> bool:
        return name in self.added or name in self.shipped

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self.shipped, *self.added])

    def __len__(self) -> int:
        return len({*self.shipped, *self.added})


def classes_in(module: ModuleType) -> list[type[Any]]:
    """Return the classes that a module defines, without those that it imports."""
    values = vars(module).values()
    return [v for v in values if isinstance(v, type) and v.__module__ == module.__name__]


def methods_in(module: ModuleType) -> list[type[Any]]:
    """Return the classes that a module defines and that have facts of their own."""
    return [
        each
        for each in classes_in(module)
        if "facts" in vars(each)
        and not issubclass(each, StrategySettings)  # they may change facts, by a method
    ]


STRATEGIES = Strategies()
