"""The families of scenarios, by name: those that ship, and those of plugins.

A file of ``scenarios/families`` with a class that has ``family: Literal["..."]`` is a family: it is
found there, and no list names it. Other files of that folder are what several families share.
"""

import re
from importlib import import_module
from pathlib import Path

from palimpsest.benchmark.scenarios import families
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.search.scenario import ArchitectureSearch

_FAMILY = re.compile(r"^    family: Literal\[", re.MULTILINE)


def _shipped() -> dict[str, type[ScenarioSettings]]:
    """Return the families of the folder by name, and that of searches, which has a room."""
    found: list[type[ScenarioSettings]] = [ArchitectureSearch]
    for path in Path(families.__path__[0]).glob("*.py"):
        if _FAMILY.search(path.read_text("utf-8")):  # others may import torch
            module = import_module(f"{families.__name__}.{path.stem}")
            found += [
                each
                for each in vars(module).values()
                if isinstance(each, type)
                and issubclass(each, ScenarioSettings)
                and each.__module__ == module.__name__
            ]
    return {_name(each): each for each in sorted(found, key=_name)}


def _name(family: type[ScenarioSettings]) -> str:
    return str(family.model_fields["family"].default)


FAMILIES = _shipped()
"""All of them by name."""
