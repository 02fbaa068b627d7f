"""The user's own strategies, scenarios, networks and metrics, from files and installed packages.

A plugin file adds each class that it defines with ``facts`` of its own, a strategy, and what it
lists::

    SCENARIOS = [MyScenario]
    NETWORKS = [NetworkEntry("my_network", "MyNetwork", __name__)]
    METRICS = [Metric("my_metric", my_function, "what it says")]

A package announces the same by entry points, one for each: in the group ``palimpsest.strategies`` a
strategy's class, in ``palimpsest.scenarios`` a subclass of ``ScenarioSettings``, in
``palimpsest.networks`` a ``NetworkEntry``, in ``palimpsest.metrics`` a ``Metric``. Strategies,
scenarios and networks are loaded when a name is not known otherwise, and in listings; metrics when
runs are read.

What a plugin adds is in ``STRATEGIES``, ``FAMILIES``, ``NETWORKS`` and ``METRICS`` beside what
ships. A hash of what a strategy, scenario or network uses of the user's code is part of the keys of
its runs (``code.py``), of an installed library one of all its files. Worker processes are sent the
text that was hashed, also of modules that it imports, so editing the files meanwhile does no harm.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.models.choice import Network
from palimpsest.benchmark.models.registry import MODULE, NETWORKS
from palimpsest.benchmark.plugins.additions import Addition, AdditionKind
from palimpsest.benchmark.plugins.code import WHOLE, ModuleText, Root, UserCode, module_text
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.plugins.packages import announced, digest_of_module
from palimpsest.benchmark.plugins.shipped_modules import serve, served
from palimpsest.benchmark.plugins.source import PluginSource, additions_of
from palimpsest.strategies.base.catalogue import STRATEGIES


@dataclass(frozen=True)
class Loaded:
    """The plugins of a process, for another process to load.

    Attributes:
        sources: The files, with their text.
        packages: Whether the plugins that packages announce were loaded.
        modules: The user's modules that plugins and networks use, with their text.
    """

    sources: tuple[PluginSource, ...] = ()
    packages: bool = False
    modules: tuple[ModuleText, ...] = ()


@dataclass(frozen=True)
class _Origin:
    """The file or package of an addition, and the hash of its code."""

    place: str
    digest: str


_REGISTRIES: dict[AdditionKind, MutableMapping[str, Any]] = {
    "strategy": STRATEGIES,
    "scenario": FAMILIES,
    "network": NETWORKS,
    "metric": METRICS,
}

_origins: dict[tuple[AdditionKind, str], _Origin] = {}
_sources: dict[str, PluginSource] = {}
_reached: dict[str, tuple[ModuleText, ...]] = {}
"""The modules that a plugin file, or a network's, reaches, as they were hashed."""


def load_files(paths: Iterable[Path | str]) -> None:
    """Load plugin files, each once; one that was edited since is loaded again.

    What they add stays known to the process: results compute their metrics when these are asked
    for, which may be at any time.

    Args:
        paths: The Python files.

    Raises:
        UserError: With the file and, if known, the line; or it is one path, not several.
    """
    if isinstance(paths, str | Path):
        raise UserError(f"plugins: expected a list of files, got {str(paths)!r} alone")
    for path in paths:
        _load(PluginSource.read(Path(path)))


@cache
def load_packages() -> None:
    """Load the strategies, scenarios and networks that installed packages announce.

    Raises:
        UserError: Names the package and the entry point.
    """
    _load_announced("strategy", "scenario", "network")


@cache
def load_metrics() -> None:
    """Load the metrics that installed packages announce.

    Raises:
        UserError: Names the package and the entry point.
    """
    _load_announced("metric")


def _load_announced(*kinds: AdditionKind) -> None:
    for addition, module in announced(kinds):
        _register(addition, _Origin(addition.place, _digest(addition.roots, module)))


def loaded() -> Loaded:
    """Return what was loaded in this process."""
    modules = {each.name: replace(each) for known in _reached.values() for each in known}
    packages = load_packages.cache_info().currsize > 0
    return Loaded(tuple(_sources.values()), packages, tuple(modules.values()))


def load_again(plugins: Loaded) -> None:
    """Load what another process has loaded."""
    serve(plugins.modules)
    for source in plugins.sources:
        _load(source)
    if plugins.packages:
        load_packages()


def strategies_of(path: Path) -> list[str]:
    """Return the names of the strategies that a loaded plugin file adds."""
    place = str(path.resolve())
    return [
        name
        for (kind, name), origin in _origins.items()
        if kind == "strategy" and origin.place == place
    ]


def digest_of(kind: AdditionKind, name: str) -> str | None:
    """Return the hash of the code of an addition; ``None`` for what ships."""
    origin = _origins.get((kind, name))
    return None if origin is None else origin.digest


def digest_of_network(network: Network) -> str | None:
    """Return the hash of the code of a user's own network; ``None`` for all others."""
    if network.name.startswith(MODULE):
        module, _, name = network.name.removeprefix(MODULE).rpartition(".")
        return _digest([(module, name)], module)
    return digest_of("network", network.name)


def _load(source: PluginSource) -> None:
    if _sources.get(source.path) == source and not _edited(source.path):
        return
    _forget(source.path)
    additions = additions_of(source)
    code = UserCode([source.as_module, *served()])
    for addition in additions:
        _register(addition, _Origin(source.path, code.digest(addition.roots)))
    modules = code.reached([(source.module, WHOLE)])
    _reached[source.path] = tuple(each for each in modules if each.name != source.module)
    _sources[source.path] = source


def _digest(roots: Iterable[Root], module: str) -> str:
    """Hash what is used of a user's module; of a library, all files of the package."""
    code = UserCode(served())
    _edited(module)
    if code.text(module) is None:
        return digest_of_module(module)
    _reached[module] = tuple(code.reached([(module, WHOLE)]))
    return code.digest(roots)


def _edited(place: str) -> bool:
    """Whether modules that it uses have changed since; forget them, to be imported anew."""
    known = _reached.get(place, ())
    sent = {each.name for each in served()}
    changed = any(each.name not in sent and module_text(each.name) != each for each in known)
    for each in known if changed else ():
        sys.modules.pop(each.name, None)
    return changed


def _register(addition: Addition, origin: _Origin) -> None:
    kind, name = addition.kind, addition.name
    known = _REGISTRIES[kind]
    if name in known:
        other = _origins.get((kind, name))
        holder = "Palimpsest already has" if other is None else f"{other.place} already adds"
        raise UserError(f"{addition.place}: {holder} a {kind} {name!r}; choose another name")
    known[name] = addition.value
    _origins[kind, name] = origin


def _forget(place: str) -> None:
    """Remove what an earlier version of a file has added."""
    for (kind, name), origin in list(_origins.items()):
        if origin.place == place:
            del _origins[kind, name]
            del _REGISTRIES[kind][name]
    _sources.pop(place, None)
    _reached.pop(place, None)
