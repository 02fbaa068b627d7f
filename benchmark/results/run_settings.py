"""The settings of runs by dotted names, and which of them tell runs apart.

Importing this needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import ScenarioSpec, Spec, StrategySpec

RESULTS_VERSION = "results_version"

CODE = frozenset({
    RESULTS_VERSION, "scenario.plugin", "scenario.network.plugin", "scenario.content",
    "strategy.plugin",
})  # fmt: skip
"""What stands for code, or for data that it has made."""


def settings_of(spec: Spec) -> dict[str, Any]:
    """Return what decides a run's results beside its names, its dial and its seed.

    Returns:
        By dotted name: ``scenario.width``, ``strategy.form``. What is chosen by a name that has
        settings of its own, such as an optimizer, stands under its own name:
        ``scenario.optimizer`` and ``scenario.optimizer.learning_rate``.
    """
    return {
        **dict(_of_scenario(spec.scenario)),
        **dict(_of_strategy(spec.strategy)),
        **spec.circumstances,
        RESULTS_VERSION: spec.results_version,
    }


def _of_scenario(scenario: ScenarioSpec) -> Iterator[tuple[str, Any]]:
    yield from _flat(scenario.in_use, "scenario")
    for name, value in scenario.fingerprints.items():
        yield f"scenario.data.fingerprint.{name}", value
    if scenario.plugin is not None:
        yield "scenario.plugin", scenario.plugin
    if scenario.network_plugin is not None:
        yield "scenario.network.plugin", scenario.network_plugin
    if scenario.content is not None:
        yield "scenario.content", scenario.content


def _of_strategy(strategy: StrategySpec) -> Iterator[tuple[str, Any]]:
    yield from _flat(strategy.settings, "strategy")
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
    """Return the settings in which runs differ that a suite gives the same names.

    Args:
        records: The runs.

    Returns:
        Those of a scenario that differ under one name of a scenario, those of a strategy under one
        name of a strategy, and the version of the results under one pair of names.
    """
    return _differing(records, everywhere=False)


def differing(records: Iterable[Record]) -> list[str]:
    """Return the settings in which runs differ.

    Args:
        records: The runs.

    Returns:
        The same as ``ambiguous``, and settings of which scenarios of several names have several
        values. Strategies of several names have settings of their own, which are not compared.
    """
    return _differing(records, everywhere=True)


def _differing(records: Iterable[Record], *, everywhere: bool) -> list[str]:
    # A store has thousands of runs, and few scenarios and strategies.
    scenarios: dict[str, ScenarioSpec] = {}
    strategies: dict[str, StrategySpec] = {}
    versions: set[tuple[tuple[str, str], Any]] = set()
    for record in records:
        spec = record.spec
        scenarios.setdefault(json.dumps([record.scenario, spec.data["scenario"]]), spec.scenario)
        strategies.setdefault(json.dumps([record.strategy, spec.data["strategy"]]), spec.strategy)
        versions.add(((record.scenario, record.strategy), spec.results_version))
    own = [(json.loads(key)[0], dict(_of_scenario(found))) for key, found in scenarios.items()]
    found = list(_told_apart(own))
    if everywhere:
        found += [name for name in _of_several_values(own) if name not in found]
    found += _told_apart(
        [(json.loads(key)[0], dict(_of_strategy(each))) for key, each in strategies.items()]
    )
    several = len({names for names, _ in versions}) < len(versions)
    return [*found, *([RESULTS_VERSION] if several else [])]


def _told_apart(settings: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Name the settings that differ under one name; null is the same as none."""
    names = dict.fromkeys(key for _, own in settings for key in own)
    for key in names:
        found: dict[str, set[str]] = {}
        for name, own in settings:
            found.setdefault(name, set()).add(json.dumps(own.get(key), sort_keys=True))
        if any(len(values) > 1 for values in found.values()):
            yield key


def _of_several_values(settings: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for _, own in settings:
        for key, value in own.items():
            if value is not None:
                found.setdefault(key, set()).add(json.dumps(value, sort_keys=True))
    return (key for key, values in found.items() if len(values) > 1)


def value_of(value: Any) -> Any:
    """Return a setting as a column holds it: numbers, truth values and texts, of others JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value)


def is_meant(setting: str, name: str) -> bool:
    """Whether a user who writes ``name`` means a setting: one of that name, or one inside of it.

    Args:
        setting: A dotted name, such as ``scenario.optimizer.learning_rate``.
        name: Whole parts of such a name: ``learning_rate``, ``optimizer``,
            ``scenario.optimizer``.
    """
    return f".{name}." in f".{setting}."


def meant(names: Iterable[str], records: Iterable[Record], option: str) -> Callable[[str], bool]:
    """Return which settings some names of the user's mean.

    Args:
        names: As ``is_meant`` takes them.
        records: The runs of which some must have such a setting.
        option: The option's name, for the message.

    Raises:
        UserError: No run has a setting of that name.
    """
    known = dict.fromkeys(key for record in records for key in settings_of(record.spec))
    chosen = list(names)
    for name in chosen:
        if not any(is_meant(setting, name) for setting in known):
            words = {part for setting in known for part in (setting, setting.rpartition(".")[2])}
            raise UserError(f"{option}: no run has a setting {name!r}; {nearest(name, words)}")
    return lambda setting: any(is_meant(setting, name) for name in chosen)


def by_setting(records: Sequence[Record], name: str, option: str) -> dict[str, list[Record]]:
    """Return runs by their value of a setting.

    Args:
        records: The runs.
        name: Of the setting, or of one that has settings inside, as ``is_meant`` takes it.
        option: The option's name, for the message.

    Returns:
        By what a value is called, ``width 20``, in the order of the values.

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
