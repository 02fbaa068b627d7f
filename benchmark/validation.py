"""Checking values of a suite file, and telling what is wrong with them in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from benchmark.errors import nearest
from benchmark.suite_file import Source
from strategies.settings import StrategySettings

_M = TypeVar("_M", bound=BaseModel)


def validated(model: type[_M], values: Any, source: Source, path: tuple[str, ...]) -> _M:
    """Check values against a model; the first thing wrong becomes a message with its line.

    Args:
        model: A pydantic model.
        values: Plain data from the file.
        source: The file, for the message.
        path: Where in the file the values stand.

    Raises:
        UserError: Names the file, the line or key, what was expected and the nearest name.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        inner, valid = _follow(model, problem["loc"])
        raise source.error((*path, *inner), _explain(problem, inner, valid)) from None


def _follow(model: type[BaseModel], location: Sequence[Any]) -> tuple[tuple[Any, ...], set[str]]:
    """Return pydantic's location as a path in the file, and the keys valid where it ends.

    Pydantic's location also names the member of a union that was tried, which no file has.
    """
    path: list[Any] = []
    options: list[Any] = [model]
    valid: set[str] = set()
    for part in location:
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        tagged = [m for m in models if part in get_args(_annotation(m, "name"))]
        if len(models) > 1 and tagged:
            options = tagged
            continue
        if path and not models and isinstance(part, str):
            continue  # 'int' or 'list[...]': the type that was tried
        valid = {name for m in models for name in m.model_fields}
        if any(issubclass(m, StrategySettings) for m in models):
            valid |= {"strategy", "strengths"} if "strength" in valid else {"strategy"}
            valid -= {"seed"}
        path.append(part)
        options = [o for m in models for o in _members(_annotation(m, part))]
    return tuple(path), valid


def _annotation(model: type[BaseModel], name: Any) -> Any:
    field = model.model_fields.get(str(name))
    return None if field is None else field.annotation


def _members(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) or [annotation]


def _explain(problem: Any, path: tuple[Any, ...], valid: set[str]) -> str:
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return f"unknown key {path[-1]!r}; {nearest(str(path[-1]), valid)}"
    if kind == "missing":
        return "this key is missing"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return message if kind == "value_error" else f"{message}, got {given!r}"
