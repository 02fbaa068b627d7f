"""Additions that installed packages announce by entry points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.plugins.additions import (
    Addition,
    AdditionKind,
    metric_of,
    network_of,
    scenario_of,
    strategy_of,
)

_GROUPS: dict[AdditionKind, tuple[str, Callable[[Any, str], Addition]]] = {
    "strategy": ("palimpsest.strategies", strategy_of),
    "scenario": ("palimpsest.scenarios", scenario_of),
    "network": ("palimpsest.networks", network_of),
    "metric": ("palimpsest.metrics", metric_of),
}


def announced(kinds: Iterable[AdditionKind]) -> Iterator[tuple[Addition, str]]:
    """Load every entry point of some kinds; yield what it adds and its module.

    Raises:
        UserError: Names the package and the entry point.
    """
    for group, check in (_GROUPS[kind] for kind in kinds):
        for point in entry_points(group=group):
            package = "a package" if point.dist is None else f"package {point.dist.name}"
            place = f"{package}, entry point {group}:{point.name} = {point.value}"
            try:
                value = point.load()
            except (Exception, SystemExit) as error:
                raise UserError(f"{place}: {type(error).__name__}: {error}") from error
            yield check(value, place), point.module


def digest_of_module(module: str) -> str:
    """Hash the names and contents of all Python files of a module's package."""
    try:
        spec = find_spec(module.partition(".")[0])
    except ValueError:  # of the module that was started, which has none
        spec = None
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or []]
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    if spec and spec.origin and spec.has_location and not files:  # else it is part of Python
        files = [Path(spec.origin)]
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()[:16]
