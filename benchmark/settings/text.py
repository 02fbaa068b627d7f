"""Settings as text: names, defaults, types and meanings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class SettingText:
    """A setting as listings show it.

    Attributes:
        name: Its name.
        default: Its default; ``required`` where it has none.
        values: What it may be.
        description: What it means, or nothing.
    """

    name: str
    default: str
    values: str
    description: str

    @classmethod
    def of(cls, model: type[BaseModel]) -> tuple[Self, ...]:
        """Return those of a model."""
        return tuple(
            cls(name, default_text(each), type_text(each.annotation), each.description or "")
            for name, each in model.model_fields.items()
        )


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
