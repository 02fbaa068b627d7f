"""Keys leave out settings at their defaults: a default that changes needs a version that rises.

``python tests/benchmark/suites/test_defaults.py`` writes the snapshot anew.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.suites.suite import RESULTS_VERSION
from palimpsest.strategies.base.catalogue import STRATEGIES

SNAPSHOT = Path(__file__).with_name("defaults.json")
WRITE = "write the new snapshot: python tests/benchmark/suites/test_defaults.py"

Kinds = dict[str, dict[str, Any]]
"""Of every kind of thing: its version, and its defaults by name."""


def kinds() -> Kinds:
    """Return the harness (with the settings inside of others), the families and the strategies."""
    inside = {model.__name__: model for f in FAMILIES.values() for model in models_inside(f)}
    return {
        "harness": {
            "version": RESULTS_VERSION,
            "defaults": {
                f"{name}.{setting}": value
                for name in sorted(inside)
                for setting, value in defaults(inside[name]).items()
            },
        },
        **{
            f"family {name}": {"version": each.results_version, "defaults": defaults(each)}
            for name, each in sorted(FAMILIES.items())
        },
        **{
            f"strategy {name}": {
                "version": each.facts.version, "defaults": defaults(each.Settings)
            }
            for name, each in sorted(STRATEGIES.items())
        },
    }  # fmt: skip


def defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults of the settings that have one."""
    return {
        name: to_jsonable_python(field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if not field.is_required() and name not in {"name", "family", "seed"}
    }


def models_inside(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models that a model's settings have values of."""
    for field in model.model_fields.values():
        for found in named_in(field.annotation):
            yield found
            yield from models_inside(found)


def named_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from named_in(each)


def kept() -> Kinds:
    """Return the snapshot."""
    found: Kinds = json.loads(SNAPSHOT.read_text())
    return found


def not_raised(before: Kinds, now: Kinds) -> list[str]:
    """Name the defaults that changed without a higher version of their kind."""
    return [
        f"{kind}: the default of {name} was {value!r} and is {now[kind]['defaults'][name]!r}: "
        "raise the version of its results, since keys leave out what is at its default"
        for kind in before.keys() & now.keys()
        if now[kind]["version"] <= before[kind]["version"]
        for name, value in before[kind]["defaults"].items()
        if now[kind]["defaults"].get(name, value) != value
    ]


def test_a_default_that_changed_has_a_higher_version():
    before, now = kept(), kinds()
    assert not not_raised(before, now), "\n".join(not_raised(before, now))
    assert now == before, WRITE


@pytest.mark.parametrize(("changes", "said"), [
    ({"defaults": {"a": 1, "b": 2}}, ""),
    ({"defaults": {"a": 1, "b": 2, "c": 3}}, ""),
    ({"defaults": {"a": 1, "b": 3}}, "the default of b was 2 and is 3: raise the version"),
    ({"defaults": {"a": 1, "b": 3}, "version": 2}, ""),
])  # fmt: skip
def test_what_needs_a_version(changes, said):
    before = {"version": 1, "defaults": {"a": 1, "b": 2}}
    found = not_raised({"strategy x": before}, {"strategy x": before | changes})
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_settings_inside_of_others_belong_to_the_harness():
    found = kinds()["harness"]["defaults"]
    assert {"SGD.momentum", "RoleDecay.shared", "Curve.every", "Controlled.baseline"} <= {*found}


if __name__ == "__main__":
    if problems := not_raised(kept() if SNAPSHOT.exists() else {}, kinds()):
        sys.exit("\n".join(problems))
    lines = [f"{json.dumps(kind)}: {json.dumps(told)}" for kind, told in kinds().items()]
    SNAPSHOT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
