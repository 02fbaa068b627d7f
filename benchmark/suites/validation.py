"""Checks the values of a suite file, and explains in a sentence what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from palimpsest.benchmark.errors import nearest, quoted
from palimpsest.benchmark.files.yaml_text import MOST_CHARACTERS, MOST_LEVELS, MOST_VALUES, unfit
from palimpsest.benchmark.suites.file import SuiteSource
from palimpsest.strategies.base.settings import StrategySettings

_M = TypeVar("_M", bound=BaseModel)
_Path = tuple[Any, ...]


def validated(
    model: type[_M],
    values: Any,
    source: SuiteSource,
    path: tuple[str, ...],
    also: Iterable[str] = (),
) -> _M:
    """Check values against a model; the first error becomes a message with its line.

    Args:
        model: A pydantic model.
        values: Plain data from the file.
        source: The file, for the message.
        path: Where in the file the values are.
        also: Keys besides the model's that may stand there, for the message.

    Raises:
        UserError: Names the file, the line or key, what was expected and the nearest name.
    """
    try:
        checked = model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        places = [_path_to(values, problem) for problem in problems]
        begin = places[0]  # of a union, the type that fits best: in which the problem is deepest
        inner = max((place for place in places if place[: len(begin)] == begin), key=len)
        found = [p for p, place in zip(problems, places, strict=True) if place == inner]
        raise source.error((*path, *inner), _explain(found, model, also)) from None
    for inner, value, given in _pairs(checked, values):
        if isinstance(given, bool) and not isinstance(value, bool):
            raise source.error((*path, *inner), f"{_EXPECTED['float_type']}, got {shown(given)}")
    return checked


_LARGEST = 1e30
"""The largest number of settings that nothing here knows."""


def check_plain(value: Any, source: SuiteSource, path: _Path) -> None:
    """Refuse values that are not numbers, text, true, false, null, or lists or mappings of these.

    YAML also has dates, sets, bytes and numbers that are not finite; a store does not.

    Raises:
        UserError: Says where.
    """
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                message = f"expected a name, got {shown(key)}; write '{shown(key)}'"
                raise source.error((*path, key), message)
            check_plain(part, source, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            check_plain(part, source, (*path, index))
    elif not isinstance(value, str | int | float | None) or (
        isinstance(value, int | float) and not abs(value) <= _LARGEST
    ):
        expected = (
            "expected a finite number, a text in quotes, true, false, null, or a list of these"
        )
        if isinstance(value, int | float) and isfinite(value):
            expected = f"expected a number up to {_LARGEST:g}"
        raise source.error(path, f"{expected}, got {shown(value)}")


def check_content(source: SuiteSource) -> None:
    """Refuse values that no setting can have: endless, enormous, or text that a store cannot hold.

    Raises:
        UserError: Says where.
    """
    left = MOST_VALUES
    waiting: list[tuple[_Path, Any]] = [((), source.content)]
    while waiting:
        path, value = waiting.pop()
        left -= 1
        if left < 0:
            raise source.error((), f"too large: over {MOST_VALUES:,} keys and values")
        if len(path) > MOST_LEVELS:
            message = f"lists or mappings nested too deeply: over {MOST_LEVELS} levels"
            raise source.error(path[:1], message)
        if isinstance(value, Mapping):
            for key in value:
                if problem := _unfit_name(key):
                    raise source.error(path, problem)
            waiting += [((*path, key), part) for key, part in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*path, index), part) for index, part in enumerate(value)]
        elif problem := unfit(value):
            raise source.error(path, problem)


def _unfit_name(name: Any) -> str | None:
    if isinstance(name, str) and len(name) > MOST_CHARACTERS:
        return f"the name {shown(name)} is longer than {MOST_CHARACTERS} characters; shorten it"
    problem = unfit(name)
    return problem and f"the name {shown(name)}: {problem}"


def shown(value: Any) -> str:
    """Return a value of a suite file as messages quote it."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else quoted(value)


def _pairs(value: Any, given: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any, Any]]:
    """Yield each value in the file with its place and its parsed form."""
    if isinstance(value, BaseModel) and isinstance(given, Mapping):
        for key in given:
            if key in type(value).model_fields:
                yield from _pairs(getattr(value, key), given[key], (*path, key))
    elif isinstance(value, list | tuple) and isinstance(given, list | tuple):
        for index, (one, other) in enumerate(zip(value, given, strict=False)):
            yield from _pairs(one, other, (*path, index))
    else:
        yield path, value, given


def _path_to(values: Any, problem: Any) -> _Path:
    """Return where in the values the problem is.

    Pydantic's location also names the tried member of a union, which no file has.
    """
    path: _Path = ()
    kind, location = problem["type"], problem["loc"]
    if _is_about_key(problem):
        location = (*location[: -2 if location[-1] == "[key]" else -1], problem["input"])
    if kind == "value_error":  # about several keys together; the message begins with one
        location = (*location, problem["msg"].removeprefix("Value error, ").split()[0].strip(":"))
    for part in location:
        inside: Iterable[Any] = values if isinstance(values, dict) else ()
        if part in (range(len(values)) if isinstance(values, list) else inside):
            values = values[part]
            path = (*path, part)
    if kind == "missing" and isinstance(location[-1], str):
        path = (*path, location[-1])
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        path = (*path, problem["ctx"]["discriminator"].strip("'"))
    return path


def _is_about_key(problem: Any) -> bool:
    return bool(problem["loc"][-1:] == ("[key]",) or problem["type"] == "invalid_key")


def _valid_keys(model: type[BaseModel], location: Sequence[Any], also: Iterable[str]) -> set[str]:
    """Return the keys that are valid where a location ends."""
    options: list[Any] = [model]
    valid: set[str] = set()
    for part in location:
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        tagged = [m for m in models if part in get_args(_annotation(m, "name"))]
        if len(models) > 1 and tagged:
            options = tagged
        if tagged or not models:
            continue  # the type that was tried, which no file has
        valid = {name for m in models for name in m.model_fields}
        if any(issubclass(m, StrategySettings) for m in models):
            valid = valid - {"seed"} | {*also}
        options = [o for m in models for o in _members(_annotation(m, part))]
    return valid


def _annotation(model: type[BaseModel], name: Any) -> Any:
    field = model.model_fields.get(str(name))
    return None if field is None else field.annotation


def _members(annotation: Any) -> list[Any]:
    parts = get_args(annotation)
    return [member for part in parts for member in _members(part)] if parts else [annotation]


_EXPECTED = {
    "dict_type": "expected a mapping of names to values",
    "model_type": "expected a mapping of names to values",
    "model_attributes_type": "expected a mapping of names to values",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "too_short": "expected {min_length} or more entries",
    "too_long": "expected at most {max_length} entries",
}
"""In place of pydantic's own messages that use Python terms."""


_LIMITS = {
    "greater_than": "greater than",
    "greater_than_equal": "greater than or equal to",
    "less_than": "less than",
    "less_than_equal": "less than or equal to",
}
"""Kinds of errors, in words."""

_LIMIT_NAMES = ("gt", "ge", "lt", "le")


def _explain(problems: Sequence[Any], model: type[BaseModel], also: Iterable[str]) -> str:
    """Explain what is wrong with a value.

    Args:
        problems: What pydantic found there: of a union, one for each type that it tried.
        model: The model of the values.
        also: Keys besides the model's that are valid at its top.
    """
    problem = problems[0]
    kind, given, context = problem["type"], problem.get("input"), problem.get("ctx", {})
    message: str = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if kind == "extra_forbidden":
        key = str(problem["loc"][-1])
        valid = _valid_keys(model, problem["loc"], also)
        message = f"unknown key {shown(key)}; {nearest(key, valid)}"
    elif kind == "missing" and isinstance(problem["loc"][-1], int):
        message = f"too few entries, got {shown(given)}"
    elif kind in {"missing", "union_tag_not_found"}:
        message = "this key is missing"
    elif _is_about_key(problem):
        message = f"expected a name, got {shown(given)}; write '{shown(given)}'"
    elif kind == "union_tag_invalid":
        known = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        message = f"unknown name {shown(context['tag'])}; {nearest(str(context['tag']), known)}"
    elif kind != "value_error":
        if isinstance(given, bool) and kind in _LIMITS:  # pydantic takes true for 1
            kind = "float_type"
        message = _limit(kind, context) or _EXPECTED.get(kind, message).format(**context)
        others = {p["type"]: p.get("ctx", {}) for p in problems[1:] if p["type"] in _EXPECTED}
        kinds = {kind: context, **(others if kind in _EXPECTED else {})}
        wanted = [_EXPECTED[k].format(**kinds[k]).removeprefix("expected ") for k in [*kinds][1:]]
        message = " or ".join(dict.fromkeys([message, *wanted]))
        advice = _as_number(kind, given)
        if not advice and (len(kinds) == 1 or isinstance(given, str)):
            advice = next((text for k in kinds if (text := _as_list(k, given))), "")
        message = f"{message}, got {shown(given)}{advice}"
    return message


def _limit(kind: str, context: Mapping[str, Any]) -> str | None:
    """Write the limit that a float exceeds: pydantic writes all digits of 1e30."""
    value = next((context[name] for name in _LIMIT_NAMES if name in context), None)
    if kind not in _LIMITS or not isinstance(value, float):
        return None
    return f"input should be {_LIMITS[kind]} {value:g}"


def _as_number(kind: str, given: Any) -> str:
    """Suggest a whole number: YAML reads 1e3 as text."""
    try:
        whole = kind == "int_type" and isinstance(given, str) and float(given).is_integer()
    except ValueError:
        return ""
    return f"; write {float(given):.0f}" if whole else ""


def _as_list(kind: str, given: Any) -> str:
    """Suggest brackets: a single entry needs them, too."""
    alone = isinstance(given, str | int | float) and not isinstance(given, bool)
    return f"; write [{shown(given)}]" if kind in {"list_type", "tuple_type"} and alone else ""
