"""Checks one strategy, scenario, network or metric that a plugin adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import FINETUNE_FORGETTING, Metric
from palimpsest.benchmark.metrics.metric import NAME
from palimpsest.benchmark.models.choice import PLAIN
from palimpsest.benchmark.models.registry import NetworkEntry
from palimpsest.benchmark.runs.record import COLUMNS
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.settings import StrategySettings

AdditionKind = Literal["strategy", "scenario", "network", "metric"]

_TAKEN = {*COLUMNS, FINETUNE_FORGETTING, "variant", "kind", "counted", "metrics"}
"""Columns of tables of runs besides the metrics."""


@dataclass(frozen=True)
class Addition:
    """A strategy, scenario, network or metric that has been checked.

    Attributes:
        kind: Which of them.
        name: Its name in suites and tables.
        value: The entry in ``STRATEGIES``, ``FAMILIES``, ``NETWORKS`` or ``METRICS``.
        place: The file and line, or the package, for messages.
        roots: Its classes and functions, each with its module.
    """

    kind: AdditionKind
    name: str
    value: type[Any] | NetworkEntry | Metric
    place: str
    roots: tuple[tuple[str, str], ...] = ()


def strategy_of(value: Any, place: str) -> Addition:
    """Check a strategy's class.

    Raises:
        UserError: What is wrong with it.
    """
    facts = vars(value).get("facts") if isinstance(value, type) else None
    if not isinstance(facts, Facts):
        raise UserError(
            f"{place}: expected a class with facts = Facts(...) (from {Facts.__module__} import "
            f"Facts), got {_described(value if facts is None else facts)}"
        )
    _check_name(facts.name, place)
    settings = getattr(value, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, StrategySettings)):
        raise UserError(
            f"{place}: {value.__name__}.Settings is {_described(settings)}, expected a class "
            f"derived from {StrategySettings.__module__}.StrategySettings"
        )
    if facts.dial is not None:
        _check_dial(facts.dial, settings, place)
    if missing := sorted(getattr(value, "__abstractmethods__", ())):
        raise UserError(
            f"{place}: {value.__name__} lacks {', '.join(missing)}, which its base class asks for"
        )
    return Addition("strategy", facts.name, value, place, (_root(value),))


def _check_dial(dial: Dial, settings: type[StrategySettings], place: str) -> None:
    """Refuse a dial that is no setting, or whose numbers are not those of the setting."""
    if dial.name not in settings.model_fields:
        raise UserError(
            f"{place}: its dial {dial.name!r} is no setting of {settings.__name__}; "
            f"{nearest(dial.name, settings.model_fields)}"
        )
    whole = settings.model_fields[dial.name].annotation is int
    if whole != dial.whole:
        numbers = "whole numbers" if whole else "numbers with a fraction, too"
        raise UserError(
            f"{place}: the setting {dial.name} has {numbers}: expected a dial with whole={whole}"
        )


def scenario_of(value: Any, place: str) -> Addition:
    """Check a scenario family.

    Raises:
        UserError: What is wrong with it.
    """
    if not (isinstance(value, type) and issubclass(value, ScenarioSettings)):
        raise UserError(
            f"{place}: expected a class derived from "
            f"{ScenarioSettings.__module__}.ScenarioSettings, got {_described(value)}"
        )
    name = value.model_fields["family"].default
    if not isinstance(name, str):
        raise UserError(
            f"{place}: {value.__name__} has no name; add a field such as "
            "family: Literal['my_scenario'] = 'my_scenario'"
        )
    _check_name(name, place)
    if value.build is ScenarioSettings.build:
        raise UserError(f"{place}: {value.__name__} has no method build(self, seed, root, device)")
    return Addition("scenario", name, value, place, (_root(value),))


def network_of(value: Any, place: str) -> Addition:
    """Check a network's entry.

    Raises:
        UserError: What is wrong with it.
    """
    _check_kind(value, NetworkEntry, "palimpsest.benchmark.models.registry", place)
    _check_name(value.name, place)
    if value.name in PLAIN:
        raise UserError(
            f"{place}: Palimpsest already has a network {value.name!r}; choose another name"
        )
    roots = ((value.module, value.function_name),)
    return Addition("network", value.name, value, place, roots)


def metric_of(value: Any, place: str) -> Addition:
    """Check a metric; its attributes were checked when it was created.

    Raises:
        UserError: What is wrong with it.
    """
    _check_kind(value, Metric, "palimpsest.benchmark.metrics", place)
    if value.name in _TAKEN:
        raise UserError(
            f"{place}: {value.name!r} is a column of every table of runs; choose another name"
        )
    return Addition("metric", value.name, value, place)


def _root(value: type[Any]) -> tuple[str, str]:
    return value.__module__, value.__qualname__.partition(".")[0]


def _check_kind(value: Any, kind: type[Any], module: str, place: str) -> None:
    if not isinstance(value, kind):
        name = kind.__name__
        raise UserError(
            f"{place}: expected a {name} (from {module} import {name}), got {_described(value)}"
        )


def _check_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{place}: {name!r} is not a valid name; expected lower-case letters, digits and "
            "underscores, such as my_reg"
        )


def _described(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{value!r}"
