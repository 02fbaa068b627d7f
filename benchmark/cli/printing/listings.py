"""``palimpsest list`` and ``palimpsest show``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.table import Table

from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import METRICS, Metric
from palimpsest.benchmark.models.registry import AVALANCHE, MODULE, NETWORKS, TORCHVISION
from palimpsest.benchmark.plugins import load_packages
from palimpsest.benchmark.plugins.source import MODULE_PREFIX
from palimpsest.benchmark.probes import PROBES
from palimpsest.benchmark.scenarios import FAMILIES
from palimpsest.benchmark.search.supernets.settings import (
    ConvolutionalCell,
    MicroCell,
    RecurrentCell,
)
from palimpsest.benchmark.suites.file import shipped_suites
from palimpsest.strategies.base.facts import ROLES
from palimpsest.strategies.registry import STRATEGIES

_SUPERNETS: dict[str, type[ConvolutionalCell | RecurrentCell | MicroCell]] = {
    each.model_fields["name"].default: each
    for each in (ConvolutionalCell, RecurrentCell, MicroCell)
}

_WIDEST_IN_FILES = 100
"""Widest cell, in characters, in a file or a pipe; only longer text, such as errors, is wrapped."""


def strategies(as_json: bool) -> None:
    """Print the strategies that a suite can name."""
    load_packages()
    rows = [{"name": e.name, "summary": e.summary, "source": e.source} for e in STRATEGIES.values()]
    rows.append(
        {
            "name": "avalanche:CLASS",
            "summary": "any supervised strategy class of Avalanche, with its arguments",
            "source": "avalanche.training.supervised",
        }
    )
    print_rows(rows, as_json)


def scenarios(as_json: bool) -> None:
    """Print the scenario families that a suite can name."""
    load_packages()
    print_rows([{"name": n, "summary": _summary(f)} for n, f in FAMILIES.items()], as_json)


def networks(as_json: bool) -> None:
    """Print the networks that a scenario can name."""
    load_packages()
    rows = [
        {"name": "mlp", "summary": "fully connected layers; the default", "source": ""},
        {"name": "cnn", "summary": "3x3 convolutions, the first two with pooling", "source": ""},
        *({"name": e.name, "summary": e.summary, "source": e.source} for e in NETWORKS.values()),
        {
            "name": f"{TORCHVISION}NAME",
            "summary": "any classification network of torchvision",
            "source": "torchvision.models",
        },
        {
            "name": f"{AVALANCHE}NAME",
            "summary": "a network of Avalanche, such as SlimResNet18",
            "source": "avalanche.models",
        },
        {
            "name": f"{MODULE}PACKAGE.NAME",
            "summary": "a class or function of an installed package",
            "source": "",
        },
    ]
    print_rows(rows, as_json)


def supernets(as_json: bool) -> None:
    """Print the supernets that an architecture search can name."""
    rows = [
        {
            "name": name,
            "data": chosen.data,
            "architectures": f"{chosen().space().size:,}",
            "summary": _summary(chosen),
            "decisions": chosen.decisions,
        }
        for name, chosen in _SUPERNETS.items()
    ]
    print_rows(rows, as_json)


def probes(as_json: bool) -> None:
    """Print the probes that a suite can name."""
    print_rows([{"name": e.name, "summary": e.summary} for e in PROBES.values()], as_json)


def metrics(as_json: bool) -> None:
    """Print the metrics that are computed for every run."""
    rows = [
        {
            "name": m.name,
            "unit": m.unit,
            "better": m.better,
            "needs": needs(m),
            "summary": m.meaning,
        }
        for m in METRICS.values()
    ]
    print_rows(rows, as_json)


def suites(as_json: bool) -> None:
    """Print the suites that come with Palimpsest."""
    rows = []
    for name, text in shipped_suites().items():
        description = yaml.safe_load(text).get("description", "")
        rows.append({"name": name, "summary": " ".join(description.split())})
    print_rows(rows, as_json)


def strategy(name: str) -> None:
    """Print a strategy's purpose, source and settings."""
    if name not in STRATEGIES:
        load_packages()
    if name not in STRATEGIES:
        raise UserError(f"unknown strategy {name!r}; {nearest(name, STRATEGIES)}")
    entry = STRATEGIES[name]
    say(f"{entry.name}: {entry.summary}")
    say(f"Source: {entry.source}")
    place = entry.module.removeprefix(MODULE_PREFIX)
    place = "strategies" if place.startswith("strategies.") else place
    say(f"In Python: from {place} import {entry.class_name}\n")
    _print_settings(entry.settings, leave_out={"seed"})  # a suite's seeds decide it
    if entry.dial:
        say(f"  {entry.dial.plural}")
        say(f"      In a suite, in place of {entry.dial.name}: a list to sweep over.")
    if "seed" in entry.settings.model_fields:
        say("\nIn Python also: seed, which a suite sets itself.")


def scenario(name: str) -> None:
    """Print a scenario family's purpose and settings."""
    if name not in FAMILIES:
        load_packages()
    if name not in FAMILIES:
        raise UserError(f"unknown scenario family {name!r}; {nearest(name, FAMILIES)}")
    family = FAMILIES[name]
    say(f"{name}: {inspect.getdoc(family)}\n")
    _print_settings(family, leave_out={"family"})
    _print_inside(family)


def supernet(name: str) -> None:
    """Print a supernet's purpose, the architectures it has, and its settings."""
    if name not in _SUPERNETS:
        raise UserError(f"unknown supernet {name!r}; {nearest(name, _SUPERNETS)}")
    chosen = _SUPERNETS[name]
    space = chosen().space()
    first = (0,) * len(space.options)
    say(f"{name}: {inspect.getdoc(chosen)}\n")
    say(f"Data: {chosen.data}")
    say(f"Decisions: {chosen.decisions}")
    options = ", ".join(map(str, space.options))
    counts = f"{space.size:,} architectures; options of each decision: {options}"
    say(f"With the default settings: {counts}")
    say(f"The first one: {list(first)}, {space.text(first)}\n")
    _print_settings(chosen, leave_out={"name"})
    _print_inside(chosen)


def metric(name: str) -> None:
    """Print a metric's meaning, formula, unit, direction and source."""
    if name not in METRICS:
        raise UserError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
    found = METRICS[name]
    say(f"{found.title}: {found.meaning}\n")
    formula = inspect.getdoc(found.function)
    if formula:
        say(f"{formula}\n")
    for what, text in facts(found).items():
        say(f"{what}: {text}")


def suite(name: str) -> None:
    """Print the file of a suite that comes with Palimpsest."""
    shipped = shipped_suites()
    if name not in shipped:
        raise UserError(f"no shipped suite {name!r}; {nearest(name, shipped)}")
    say(shipped[name], end="")


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print a table, or the same as JSON.

    Args:
        rows: With the same columns.
        as_json: Print JSON.
    """
    if as_json:
        say(json.dumps(rows, indent=1))
        return
    if not rows:
        return
    console = table_console(len(rows[0]) * _WIDEST_IN_FILES)
    widest = None if console.is_terminal else _WIDEST_IN_FILES
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold", max_width=widest)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table, markup=False, highlight=False, soft_wrap=True)


def _summary(documented: type[Any]) -> str:
    return (inspect.getdoc(documented) or "").splitlines()[0]


def needs(metric: Metric) -> str:
    """Say what a metric is computed from: ``accuracy matrix, runs of joint``."""
    parts = [name.replace("_", " ") for name in metric.needs]
    parts += [] if metric.reference is None else [f"a run of {ROLES[metric.reference]}"]
    return ", ".join(parts)


def facts(metric: Metric) -> dict[str, str]:
    """Return what is known about a metric besides its meaning and formula, in words."""
    low, high = (f"{metric.scale * end:g}" for end in metric.bounds)
    found = {
        "Unit": metric.unit or "none",
        "Bounds": f"{low} to {high}",
        "Better": metric.better,
        "Negligible": negligible(metric),
        "Needs": needs(metric),
    }
    if metric.reference is not None:
        found["Needs"] += " with the same scenario and seed"
    return found | ({"Source": metric.source} if metric.source else {})


def negligible(metric: Metric) -> str:
    """What difference of two values does not matter."""
    if metric.negligible is None:
        return "not known"
    size = metric.scale * metric.negligible
    unit = metric.difference_unit
    return f"{size:g} {'point' if unit == 'points' and size == 1 else unit}".rstrip()


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models in an annotation, such as the optimizers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _with_name(model: type[BaseModel]) -> str:
    """The value of ``name`` that chooses this one of several models."""
    return (
        ""
        if _free_name(model)
        else f", with name: {type_text(model.model_fields['name'].annotation)}"
    )


def _free_name(model: type[BaseModel]) -> bool:
    """Whether a model has no ``name``, or one that is its own, not one of several models'."""
    field = model.model_fields.get("name")
    return field is None or get_origin(field.annotation) is not Literal


def _print_settings(
    model: type[BaseModel], leave_out: Iterable[str] = (), *, title: bool = True
) -> None:
    if not model.model_fields:
        say("It has no settings.")
        return
    if title:
        say("Settings:")
    for name, field in model.model_fields.items():
        if name not in leave_out:
            say(f"  {name} = {default_text(field)}   ({type_text(field.annotation)})")
            if field.description:
                say(f"      {field.description}")


def _print_inside(model: type[BaseModel]) -> None:
    """Print the settings inside a model's settings, and inside these."""
    inside: dict[type[BaseModel], list[str]] = {}
    for setting, field in model.model_fields.items():
        for found in _models(field.annotation):
            inside.setdefault(found, []).append(setting)
    for found, settings in inside.items():
        say(f"\nInside {' and '.join(settings)}{_with_name(found)}: {_summary(found)}")
        _print_settings(found, leave_out=set() if _free_name(found) else {"name"}, title=False)
        _print_inside(found)


def default_text(field: FieldInfo) -> str:
    """Write a setting's default as a suite file would; ``required`` where it has none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        dumped = value.model_dump(mode="json")
        if isinstance(dumped, str):  # written by its name
            return json.dumps(dumped)
        content = json.loads(json.dumps(dict(value)))  # all of it; a dump leaves some out
        return str(yaml.safe_dump(content, default_flow_style=True, width=10_000)).strip()
    return json.dumps(value)


def type_text(annotation: Any) -> str:
    """Write a type as a user would say it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in {Annotated, Union, UnionType}:
        parts = arguments[:1] if origin is Annotated else arguments
        return " | ".join(type_text(part) for part in parts)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = annotation.model_fields.get("name")
        return "settings" if name is None else type_text(name.annotation)
    arguments = tuple(part for part in arguments if part is not ...)
    if arguments:
        inside = dict.fromkeys(type_text(part) for part in arguments if part is not ...)
        return f"{origin.__name__} of {', '.join(inside)}"
    return str(annotation.__name__)
