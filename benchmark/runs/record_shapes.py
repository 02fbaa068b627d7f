"""The shapes of what is stored of a run; whatever reads a run relies on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType
from typing import Any

from palimpsest.benchmark.errors import quoted
from palimpsest.benchmark.suites.spec import STRENGTH

_SCALARS: dict[str, tuple[set[type], str]] = {
    "key": ({str}, "a text"),
    "suite": ({str}, "a text"),
    "scenario": ({str}, "a text"),
    "strategy": ({str}, "a text"),
    "strength": ({int, float, NoneType}, "a number or nothing"),
    "seed": ({int}, "a whole number"),
    "started": ({str}, "a text"),
    "seconds": ({int, float}, "a number"),
    "peak_memory": ({int}, "a whole number"),
    "error": ({str, NoneType}, "a text or nothing"),
}
_MATRICES = ("accuracy_matrix", "validation_matrix")
_BY_MODEL = ("training_seconds", "steps", "consolidation_seconds")
"""Costs of which there is one for each model."""
_COUNTS = (
    "evaluation_seconds", "building_seconds", "state_bytes", "shared_parameters", "lost",
    "shared_statistics",
)  # fmt: skip
"""Costs of the whole run."""

_NUMBER = {int, float, NoneType}
_SPEC: dict[str, dict[str, tuple[Collection[type], Any]]] = {
    "": {
        "seed": ((int,), 0),
        "device": ((str,), ""),
        "versions": ((dict,), {}),
        "defaults": ((dict,), {}),
        "probes": ((list,), []),
    },
    "scenario": {
        "name": ((str,), ""),
        "family": ((str,), ""),
        "fingerprints": ((dict,), {}),
        "plugin": ((str, NoneType), None),
        "network_plugin": ((str, NoneType), None),
    },
    "strategy": {
        "name": ((str,), ""),
        "strategy": ((str,), None),
        "settings": ((dict,), {}),
        "plugin": ((str, NoneType), None),
        "dial": ((str,), ""),
    },
}
"""Of each part of a spec: of what type a value is, and what stands for one that is missing."""
_KEYS: dict[str, set[type]] = {
    "model": {int},
    "trained": {int},
    "block": {str, NoneType},
    "moment": {str},
    "weights": {str},
    "epoch": {int},
    "architecture": {str},
}
"""What says what a row of a probe is about; all else in it are numbers."""


def check_shapes(values: Mapping[str, Any]) -> None:
    """Refuse values of a run that are not of the shape in which runs are stored.

    Args:
        values: By column, JSON parsed.

    Raises:
        ValueError: Says which value, and what was expected.
    """
    for name, (kinds, expected) in _SCALARS.items():
        value = values[name]
        if type(value) not in kinds or (type(value) is float and not math.isfinite(value)):
            raise ValueError(f"its {name} is {quoted(value)}, expected {expected}")
    _check_spec(values["spec"])
    if values["status"] not in {"done", "failed"}:
        raise ValueError(f"its status is {quoted(values['status'])}, expected done or failed")
    models = 0
    for name in _MATRICES:
        matrix = values[name]
        if not all(_is_row(row, len(matrix)) for row in matrix):
            raise ValueError(f"its {name} is not a square of numbers")
        models = models or len(matrix)
    initial = values["initial_accuracy"]
    models = models or len(initial)
    if initial and not _is_row(initial, models):
        raise ValueError(f"its initial_accuracy is not {_row_of(models)}")
    for name in _MATRICES:
        if values[name] and len(values[name]) != models:
            raise ValueError(f"its {name} is not of {models} models")
    _check_each(values, "curves", _is_curve, "a model, steps, and an accuracy for each step")
    _check_each(values, "moments", _is_moment, "a visit, steps, and the accuracy of each model")
    _check_models(values, models)
    _check_cost(values["cost"], models)
    if not all(_is_probe(probe) for probe in values["probes"].values()):
        raise ValueError("its probes are not rows of numbers, or the reason why there are none")
    if not all(type(version) is str for version in values["versions"].values()):
        raise ValueError("its versions are not texts")


def _check_spec(spec: Mapping[str, Any]) -> None:
    for part, kinds in _SPEC.items():
        found = spec.get(part) if part else spec
        if type(found) is not dict:
            raise ValueError(f"its spec has no {part}")
        for name, (kind, missing) in kinds.items():
            if type(found.get(name, missing)) not in kind:
                where = f"the {name} of the {part}" if part else f"the {name}"
                raise ValueError(f"{where} in its spec is {quoted(found.get(name))}")
    if not all(type(name) is str for name in spec.get("probes", ())):
        raise ValueError("the probes in its spec are no names")
    if not all(type(version) is int for version in spec.get("versions", {}).values()):
        raise ValueError("the versions in its spec are no whole numbers")
    if not all(
        type(names) is list and all(type(name) is str for name in names)
        for names in spec.get("defaults", {}).values()
    ):
        raise ValueError("the defaults in its spec are no names of settings")
    strategy = spec["strategy"]
    value = strategy.get("settings", {}).get(strategy.get("dial", STRENGTH))
    if type(value) not in _NUMBER:
        raise ValueError(f"the dial in its spec is {quoted(value)}, expected a number")


def _is_row(row: Any, length: int) -> bool:
    """Whether this is a list of so many finite numbers, some of which may be missing."""
    return type(row) is list and len(row) == length and _are_numbers(row)


def _are_numbers(row: Sequence[Any]) -> bool:
    return {*map(type, row)} <= _NUMBER and all(v is None or math.isfinite(v) for v in row)


def _row_of(models: int) -> str:
    return f"a list of {models} numbers, one for each model"


def _check_each(
    values: Mapping[str, Any], name: str, fits: Callable[[Any], bool], expected: str
) -> None:
    for number, part in enumerate(values[name]):
        if type(part) is not dict or not fits(part):
            raise ValueError(f"number {number} of its {name} is not {expected}")


def _is_curve(curve: Mapping[str, Any]) -> bool:
    model, steps, accuracy = (curve.get(name) for name in ("model", "steps", "accuracy"))
    return (
        type(model) is int
        and model >= 0
        and type(steps) is list
        and all(type(step) is int for step in steps)
        and type(accuracy) is list
        and len(accuracy) <= model + 1
        and all(_is_row(line, len(steps)) for line in accuracy)
    )


def _is_moment(moment: Mapping[str, Any]) -> bool:
    accuracy, validation = moment.get("accuracy"), moment.get("validation_accuracy", [])
    return (
        type(moment.get("visit")) is int
        and type(moment.get("steps")) is int
        and type(accuracy) is list
        and _are_numbers(accuracy)
        and (not validation or _is_row(validation, len(accuracy)))
    )


def _check_models(values: Mapping[str, Any], models: int) -> None:
    """Refuse curves of models that the matrix does not have, and moments of different ones."""
    if models and any(curve["model"] >= models for curve in values["curves"]):
        raise ValueError(f"its curves are of other than its {models} models")
    lengths = {len(moment["accuracy"]) for moment in values["moments"]}
    if len(lengths) > 1 or (models and lengths - {models}):
        raise ValueError("its moments are of different numbers of models")


def _check_cost(cost: Mapping[str, Any], models: int) -> None:
    for name in _BY_MODEL:
        row = cost.get(name, [])
        if type(row) is not list or not _are_numbers(row):
            raise ValueError(f"the {name} of its cost are not a list of numbers")
    for name in _COUNTS:
        if not _are_numbers([cost.get(name)]):
            raise ValueError(f"the {name} of its cost is {quoted(cost[name])}, expected a number")
    classes = cost.get("classes", [])
    if type(classes) is not list or not all(map(_are_texts, classes)):
        raise ValueError("the classes of its cost are not lists of names")
    if classes and models and len(classes) != models:
        raise ValueError("the classes of its cost are of a different number of models")
    capacity = cost.get("capacity", {})
    if type(capacity) is not dict or not all(map(_is_capacity, capacity.values())):
        raise ValueError("the capacity of its cost is not a share for each tensor and model")
    lengths = {len(tensor["free"]) for tensor in capacity.values()}
    if len(lengths) > 1 or (models and lengths - {models}):
        raise ValueError("the capacity of its cost is of different numbers of models")


def _are_texts(names: Any) -> bool:
    return type(names) is list and {*map(type, names)} <= {str}


def _is_capacity(tensor: Any) -> bool:
    return (
        type(tensor) is dict
        and type(tensor.get("parameters")) is int
        and tensor["parameters"] >= 0
        and type(tensor.get("free")) is list
        and _are_numbers(tensor["free"])
    )


def _is_probe(probe: Any) -> bool:
    if type(probe) is not dict:
        return False
    if "rows" not in probe:
        return type(probe.get("absent")) is str
    derived = [probe["derived"]] if "derived" in probe else []
    rewards = probe.get("rewards", [])
    return (
        all(_are_probe_rows(rows) for rows in (probe["rows"], probe.get("ranking", []), derived))
        and type(rewards) is list
        and _are_numbers(rewards)
        and type(probe.get("perplexity", False)) is bool
    )


def _are_probe_rows(rows: Any) -> bool:
    return type(rows) is list and all(
        type(row) is dict and all(type(v) in _KEYS.get(name, _NUMBER) for name, v in row.items())
        for row in rows
    )
