"""The user's modules as another process read them, whatever the disk has now."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from palimpsest.benchmark.plugins.code import ModuleText


class _Loader(SourceLoader):
    """Loads the text that was sent, without the disk."""

    def __init__(self, module: ModuleText) -> None:
        self._module = module

    def get_filename(self, fullname: str) -> str:
        return self._module.path

    def get_data(self, path: str | bytes) -> bytes:
        if path != self._module.path:
            raise OSError("no compiled file is used")
        return self._module.text.encode()


class _Finder(MetaPathFinder):
    """Finds the modules that were sent."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleText] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self.modules.get(fullname)
        if module is None or not module.path.endswith(".py"):
            return None
        own = Path(module.path)
        folders = [str(own.parent)] if own.name == "__init__.py" else None
        return spec_from_file_location(
            fullname, own, loader=_Loader(module), submodule_search_locations=folders
        )


_FINDER = _Finder()


def serve(modules: Iterable[ModuleText]) -> None:
    """Import modules from now on as they were sent by another process."""
    _FINDER.modules |= {each.name: each for each in modules}
    if _FINDER.modules and _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def served() -> tuple[ModuleText, ...]:
    """Return the modules that were sent to this process."""
    return tuple(_FINDER.modules.values())
