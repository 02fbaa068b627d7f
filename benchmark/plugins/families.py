"""The scenario families by name: each is one file, which is found here.

To add one, write a class derived from ``ScenarioSettings`` into a file of
``benchmark/scenarios/families/``. Architecture search has its file in ``benchmark/search/``, which
it needs. Plugins add their own. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from palimpsest.benchmark.scenarios import families
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.search import architecture_search
from palimpsest.strategies.base.catalogue import classes_in


def _found() -> Iterator[tuple[str, type[ScenarioSettings]]]:
    """Yield the families that files define, with their names."""
    files = sorted(Path(*families.__path__).glob("[!_]*.py"))
    modules = [import_module(f"{families.__name__}.{file.stem}") for file in files]
    for module in (*modules, architecture_search):
        for each in classes_in(module):
            if issubclass(each, ScenarioSettings):
                name = each.model_fields["family"].default
                if isinstance(name, str):
                    yield name, each


FAMILIES: dict[str, type[ScenarioSettings]] = dict(sorted(_found()))
