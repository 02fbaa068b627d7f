"""Checks one strategy, scenario, network or metric that a plugin adds."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from pydantic import create_model
from pydantic.dataclasses import dataclass as validated_dataclass

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import FINETUNE_FORGETTING, Metric
from palimpsest.benchmark.metrics.metric import NAME
from palimpsest.benchmark.models.choice import PLAIN
from palimpsest.benchmark.models.registry import NetworkEntry
from palimpsest.benchmark.runs.record import COLUMNS
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.strategies.registry import StrategyEntry
from palimpsest.strategies.settings import StrategySettings

AdditionKind = Literal["strategy", "scenario", "network", "metric"]

_TAKEN = {*COLUMNS, FINETUNE_FORGETTING, "variant", "kind", "counted", "metrics"}
"""Columns of tables of runs besides the metrics."""


@dataclass(frozen=True)
class Addition:
    """One strategy, scenario, network or metric, checked.

    Attributes:
        kind: Which of them.
        name: What suites and tables call it.
        value: The entry in ``STRATEGIES``, ``FAMILIES``, ``NETWORKS`` or ``METRICS``.
        place: The file and line, or the package, for messages.
        roots: The classes and functions that it consists of: each with its module.
    """

    kind: AdditionKind
    name: str
    value: StrategyEntry | type[ScenarioSettings] | NetworkEntry | Metric
    place: str
    roots: tuple[tuple[str, str], ...] = ()


def strategy_of(value: Any, place: str) -> Addition:
    """Check a strategy's entry; settings that are a dataclass become a pydantic model.

    Args:
        value: What the plugin lists.
        place: Where it is listed.

    Raises:
        UserError: What is wrong with it.
    """
    _check_kind(value, StrategyEntry, "palimpsest.strategies.registry", place)
    _check_name(value.name, place)
    entry = dataclasses.replace(value, settings=_settings_model(value.settings, place))
    roots = ((entry.module, entry.class_name), _root(value.settings))
    return Addition("strategy", entry.name, entry, place, roots)


def scenario_of(value: Any, place: str) -> Addition:
    """Check a scenario family.

    Args:
        value: What the plugin lists.
        place: Where it is listed.

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

    Args:
        value: What the plugin lists.
        place: Where it is listed.

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

    Args:
        value: What the plugin lists.
        place: Where it is listed.

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


def _settings_model(settings: Any, place: str) -> type[StrategySettings]:
    if isinstance(settings, type) and issubclass(settings, StrategySettings):
        return settings
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        raise UserError(
            f"{place}: its settings are {_described(settings)}, expected a dataclass or a class "
            "derived from palimpsest.strategies.settings.StrategySettings"
        )
    described = _attribute_docstrings(settings)
    checked: Any = validated_dataclass(settings)
    fields: dict[str, Any] = {}
    for name, field in checked.__pydantic_fields__.items():
        field.description = field.description or described.get(name)
        fields[name] = (field.annotation, field)
    return create_model(
        settings.__name__, __base__=StrategySettings, __doc__=settings.__doc__, **fields
    )


def _attribute_docstrings(documented: type[Any]) -> dict[str, str]:
    """Return the docstrings that follow a class's fields, by field name."""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(documented))).body
    except (OSError, TypeError):  # no source, as in an interactive session
        return {}
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in pairwise(body.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            value = text.value if isinstance(text, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[field.target.id] = inspect.cleandoc(value.value)
    return found


def _described(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{value!r}"
