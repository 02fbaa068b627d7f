"""The settings of runs by dotted names, and those in which runs differ. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import ScenarioSpec, Spec, StrategySpec

RESULTS_VERSION = "results_version"
"""Of the harness; those of a scenario and a strategy stand under their names."""

CODE = frozenset({
    RESULTS_VERSION, f"scenario.{RESULTS_VERSION}", f"strategy.{RESULTS_VERSION}",
    "scenario.plugin", "scenario.network.plugin", "scenario.content", "strategy.plugin",
})  # fmt: skip
"""What stands for code, or for data that it has made."""


def settings_of(spec: Spec) -> dict[str, Any]:
    """Return everything that decides a run's results beside its names, its dial and its seed.

    Returns:
        By dotted name: ``scenario.width``, ``strategy.form``. A choice by name that has settings of
        its own, such as an optimizer, stands under its own name: ``scenario.optimizer`` and
        ``scenario.optimizer.learning_rate``.
    """
    return {
        **dict(_of_scenario(spec.scenario)),
        **dict(_of_strategy(spec.strategy)),
        **spec.circumstances,
        RESULTS_VERSION: spec.versions.get("harness"),
    }


def _of_scenario(scenario: ScenarioSpec) -> Iterator[tuple[str, Any]]:
    yield from _flat(scenario.settings, "scenario")
    yield f"scenario.{RESULTS_VERSION}", scenario.version
    for name, value in scenario.fingerprints.items():
        yield f"scenario.data.fingerprint.{name}", value
    if scenario.plugin is not None:
        yield "scenario.plugin", scenario.plugin
    if scenario.network_plugin is not None:
        yield "scenario.network.plugin", scenario.network_plugin
    if scenario.content is not None:
        yield "scenario.content", scenario.content


def _of_strategy(strategy: StrategySpec) -> Iterator[tuple[str, Any]]:
    yield from _flat(strategy.without_dial.settings, "strategy")
    yield f"strategy.{RESULTS_VERSION}", strategy.version
    if strategy.plugin is not None:
        yield "strategy.plugin", strategy.plugin


def _flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            inside = dict(value)
            if "name" in inside:
                yield f"{above}.{key}", inside.pop("name")
            yield from _flat(inside, f"{above}.{key}")
        else:
            yield f"{above}.{key}", value


def ambiguous(records: Iterable[Record]) -> list[str]:
    """Return the settings in which runs differ although a suite gives them the same names.

    Returns:
        Those of a scenario that differ under one name of a scenario, those of a strategy under one
        name of a strategy, and the version of the results under one pair of names.
    """
    return _differing(records, everywhere=False)


def differing(records: Iterable[Record]) -> list[str]:
    """Return the settings in which runs differ.

    Returns:
        Those of ``ambiguous``, and settings that differ between scenarios of several names.
        Strategies of several names have settings of their own, which are not compared.
    """
    return _differing(records, everywhere=True)


def _differing(records: Iterable[Record], *, everywhere: bool) -> list[str]:
    # A store has thousands of runs, and few scenarios and strategies.
    scenarios: dict[str, tuple[str, ScenarioSpec]] = {}
    strategies: dict[str, tuple[str, StrategySpec]] = {}
    versions = set()
    for record in records:
        spec, hashed = record.spec, record.spec.hashed
        key = json.dumps([record.scenario, hashed["scenario"], spec.scenario.version])
        scenarios.setdefault(key, (record.scenario, spec.scenario))
        key = json.dumps([record.strategy, hashed["strategy"], spec.strategy.version])
        strategies.setdefault(key, (record.strategy, spec.strategy))
        versions.add(((record.scenario, record.strategy), spec.versions.get("harness")))
    whole = [dict(_of_scenario(each)) for _, each in scenarios.values()]
    changed = [(name, dict(_of_scenario(each.changed))) for name, each in scenarios.values()]
    found = list(_told_apart(whole, changed))
    if everywhere:
        found += [name for name in _of_several_values(whole) if name not in found]
    found += _told_apart(
        [dict(_of_strategy(each)) for _, each in strategies.values()],
        [(name, dict(_of_strategy(each.changed))) for name, each in strategies.values()],
    )
    several = len({names for names, _ in versions}) < len(versions)
    return [*found, *([RESULTS_VERSION] if several else [])]


def _told_apart(
    whole: Sequence[Mapping[str, Any]], changed: Sequence[tuple[str, Mapping[str, Any]]]
) -> Iterator[str]:
    """Name the settings that differ under one name.

    Args:
        whole: All settings, for their order.
        changed: A name, and the settings that differ from their defaults.
    """
    for key in dict.fromkeys(key for own in whole for key in own):
        found: dict[str, set[str]] = {}
        for name, own in changed:
            value = json.dumps(own[key], sort_keys=True) if key in own else ""
            found.setdefault(name, set()).add(value)
        if any(len(values) > 1 for values in found.values()):
            yield key


def _of_several_values(settings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for own in settings:
        for key, value in own.items():
            if value is not None and not key.endswith(RESULTS_VERSION):
                found.setdefault(key, set()).add(json.dumps(value, sort_keys=True))
    return (key for key, values in found.items() if len(values) > 1)


def value_of(value: Any) -> Any:
    """Return a setting as a column holds it: a number, truth value or text, else JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value)


def is_meant(setting: str, name: str) -> bool:
    """Whether a setting has a name, or is inside the one that has it.

    Args:
        setting: A dotted name, such as ``scenario.optimizer.learning_rate``.
        name: Whole parts of such a name: ``learning_rate``, ``optimizer``,
            ``scenario.optimizer``.
    """
    return f".{name}." in f".{setting}."


def meant(names: Iterable[str], records: Iterable[Record], option: str) -> Callable[[str], bool]:
    """Return a test whether the user's names mean a setting; see ``is_meant``.

    Raises:
        UserError: No run has a setting of that name; names the ``option``.
    """
    known = dict.fromkeys(key for record in records for key in settings_of(record.spec))
    chosen = list(names)
    for name in chosen:
        if not any(is_meant(setting, name) for setting in known):
            words = {part for setting in known for part in (setting, setting.rpartition(".")[2])}
            raise UserError(f"{option}: no run has a setting {name!r}; {nearest(name, words)}")
    return lambda setting: any(is_meant(setting, name) for name in chosen)


def by_setting(records: Sequence[Record], name: str, option: str) -> dict[str, list[Record]]:
    """Return runs by their value of a setting, or of the settings inside it (see ``is_meant``).

    Returns:
        By the value in words, ``width 20``, in the order of the values.

    Raises:
        UserError: No run has such a setting.
    """
    is_chosen = meant([name], records, option)
    own = [
        {key: value for key, value in settings_of(record.spec).items() if is_chosen(key)}
        for record in records
    ]
    keys = dict.fromkeys(key for found in own for key in found)
    differing = [key for key in keys if len({json.dumps(found.get(key)) for found in own}) > 1]
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record, settings in zip(records, own, strict=True):
        values = tuple(value_of(settings.get(key)) for key in differing or keys)
        found.setdefault(values, []).append(record)
    return {
        ", ".join(
            f"{key.rpartition('.')[2]} {'not set' if value is None else value}"
            for key, value in zip(differing or keys, values, strict=True)
        ): found[values]
        for values in sorted(found, key=lambda values: [_sorted(value) for value in values])
    }


def _sorted(value: Any) -> tuple[int, float, str]:
    """Sort key: nothing, then numbers by size, then texts."""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return (0, 0.0, "") if value is None else (2, 0.0, value)
