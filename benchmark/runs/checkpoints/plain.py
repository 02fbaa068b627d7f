"""Encodes values without an identity as JSON: numbers, names of types, bytes."""

from __future__ import annotations

import base64
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

_CREATORS = ("zeros", "ones", "empty", "zeros_like", "ones_like", "empty_like")
"""Functions of torch that a plugin may keep, to make tensors later."""

_OF_TORCH = (torch.dtype, torch.layout, torch.memory_format)


class _Kind(NamedTuple):
    """The encoding of a kind of values.

    Attributes:
        has: Whether a value is of the kind.
        write: Returns a value as JSON.
        read: Returns the value of that JSON.
    """

    has: Callable[[Any], bool]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def to_json(value: Any) -> dict[str, Any] | None:
    """Return a value as JSON with its kind; ``None`` if its kind is not known here."""
    for name, kind in _KINDS.items():
        if kind.has(value):
            return {name: kind.write(value)}
    return None


def from_json(name: str, content: Any) -> Any:
    """Return the value of a kind.

    Raises:
        ValueError: There is no such kind, or no such value.
    """
    if name not in _KINDS:
        raise ValueError(f"values of the kind {name} are not known")
    return _KINDS[name].read(content)


def array_to_json(value: np.ndarray[Any, Any]) -> list[Any]:
    """Return an array of numbers as JSON: type, shape and bytes."""
    return [value.dtype.str, [*value.shape], _text(np.ascontiguousarray(value).tobytes())]


def array_from_json(content: Any) -> np.ndarray[Any, Any]:
    """Return the array that ``array_to_json`` encoded."""
    dtype, shape, data = content
    flat = np.frombuffer(base64.b64decode(data), dtype=np.dtype(dtype))
    return flat.reshape(shape).copy()


def of_torch(name: str) -> Any:
    """Return a dtype, a layout or a memory format by its name in torch.

    Raises:
        ValueError: Torch has none of that name.
    """
    found = getattr(torch, name, None)
    if not isinstance(found, _OF_TORCH):
        raise ValueError(f"torch has no {name}")
    return found


def _creator(name: str) -> Any:
    if name not in _CREATORS:
        raise ValueError(f"{name} makes no tensors")
    return getattr(torch, name)


def _is_creator(value: Any) -> bool:
    if not isinstance(value, types.BuiltinFunctionType) or value.__name__ not in _CREATORS:
        return False
    return getattr(torch, value.__name__) is value


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _ends(value: Any) -> list[Any]:
    return [value.start, value.stop, value.step]


_KINDS = {
    "torch": _Kind(
        lambda v: isinstance(v, _OF_TORCH), lambda v: str(v).removeprefix("torch."), of_torch
    ),
    "device": _Kind(lambda v: isinstance(v, torch.device), str, torch.device),
    "numpy": _Kind(
        lambda v: isinstance(v, np.generic) and not v.dtype.hasobject,
        lambda v: array_to_json(np.asarray(v)),
        lambda content: array_from_json(content)[()],
    ),
    "bytes": _Kind(lambda v: type(v) is bytes, _text, base64.b64decode),
    "complex": _Kind(
        lambda v: type(v) is complex, lambda v: [v.real, v.imag], lambda parts: complex(*parts)
    ),
    "range": _Kind(lambda v: type(v) is range, _ends, lambda ends: range(*ends)),
    "slice": _Kind(lambda v: type(v) is slice, _ends, lambda ends: slice(*ends)),
    "...": _Kind(lambda v: v is ..., lambda _: None, lambda _: ...),
    "creator": _Kind(_is_creator, lambda v: v.__name__, _creator),
}
