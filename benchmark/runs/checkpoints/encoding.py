"""The state of a run as plain data and tensors."""

from __future__ import annotations

import functools
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from palimpsest.benchmark.randomness.rng_state import GENERATORS, kind_of, state_of
from palimpsest.benchmark.runs.checkpoints.graph import (
    Reference,
    attributes,
    has_attributes,
    has_convention,
    has_memory,
    is_constant,
    memory_of,
    top_level,
    variables,
)
from palimpsest.benchmark.runs.checkpoints.plain import array_to_json, to_json

FACTORIES = {kind.__name__: kind for kind in (dict, list, set, int, float)}
"""The allowed factories of a ``defaultdict``."""


class UnsavableError(Exception):
    """A part of a run's state cannot be saved; the message names it and its position."""


@dataclass
class Encoded:
    """The state of a run.

    Attributes:
        root: The encoded roots.
        nodes: The encoded objects, to which values refer.
        tensors: The tensors, to which objects refer.
    """

    root: Any = None
    nodes: list[dict[str, Any]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)


def encode(roots: dict[str, Any], reference: Reference) -> Encoded:
    """Encode the state of a run.

    Args:
        roots: All its parts, by name.
        reference: The objects of the run when it was built. Existing objects are stored as
            references to them.

    Raises:
        UnsavableError: A part cannot be saved.
    """
    encoder = _Encoder(reference)
    try:
        encoder.found.root = {name: encoder.value(own, name) for name, own in roots.items()}
    except RecursionError:
        raise UnsavableError("it is nested too deeply") from None
    return encoder.found


class _Encoder:
    """Turns values into JSON, and each object into one node."""

    def __init__(self, reference: Reference) -> None:
        self.found = Encoded()
        self._reference = reference
        self._places: dict[int, int] = {}
        self._arrays: set[int] = set()
        self._alive: list[Any] = []  # keeps ids unique
        self._memory = reference.memory_now()
        for place, numbers in self._memory.items():
            if len(numbers) > 1 and reference.memory.get(place) != numbers:
                raise UnsavableError("tensors share memory that did not before training")

    def value(self, value: Any, where: str) -> Any:
        """Return a value as JSON: itself, its parts, or a reference."""
        if type(value) in {type(None), bool, int, float, str}:
            return value
        plain = to_json(value) or self._parts(value, where)
        if plain is not None:
            return plain
        if is_constant(value):
            number = self._reference.number(value)
            if number is not None:
                return {"known": number}
            if not is_dataclass(value):
                raise _unsavable(value, where)
        return {"@": self._node(value, where)}

    def _parts(self, value: Any, where: str) -> dict[str, Any] | None:
        """Return the JSON of a value that consists only of its parts; ``None`` for others."""
        kind = type(value)
        if kind in {tuple, torch.Size, frozenset}:
            return {kind.__name__: self._values(value, where)}
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return {"named": [self._class(kind, where), self._values(value, where)]}
        if isinstance(value, types.MethodType):
            return {"method": [self.value(value.__self__, where), value.__name__]}
        if isinstance(value, weakref.ref):
            return {"weak": self.value(value(), where)}
        if isinstance(value, Enum):
            return {"enum": [self._class(kind, where), value.name]}
        return None

    def _values(self, values: Iterable[Any], where: str) -> list[Any]:
        return [self.value(part, f"{where}[{place}]") for place, part in enumerate(values)]

    def _node(self, value: Any, where: str) -> int:
        if id(value) in self._places:
            return self._places[id(value)]
        place = self._places[id(value)] = len(self.found.nodes)
        self._alive.append(value)
        node: dict[str, Any] = {}
        self.found.nodes.append(node)
        number = self._reference.number(value)
        if number is not None:
            node["known"] = number
        node |= self._content(value, where, known=number is not None)
        return place

    def _content(self, value: Any, where: str, *, known: bool) -> dict[str, Any]:
        kind = type(value)
        node: dict[str, Any] | None = None
        if isinstance(value, Tensor):
            node = self._tensor(value, where, known=known)
        elif kind in {dict, OrderedDict, defaultdict, Counter}:
            node = self._mapping(value, where)
        elif kind in {list, deque}:
            node = {"is": kind.__name__, "items": self._values(value, where)}
            node |= {"most": value.maxlen} if kind is deque else {}
        elif kind is set:
            node = {"is": "set", "items": [self._key(part, where) for part in value]}
        elif kind is np.ndarray and not value.dtype.hasobject:
            self._refuse_views(value, where)
            node = {"is": "ndarray", "data": array_to_json(value)}
        elif isinstance(value, GENERATORS) and (generator := kind_of(value)) is not None:
            state = self.value(state_of(value), where)
            node = {"is": "generator", "kind": generator, "state": state}
        elif known and isinstance(value, functools.partial):
            inner = (value.func, value.args, value.keywords)
            node = {"is": "partial", "items": self._values(inner, where)}
        elif known and isinstance(value, types.FunctionType):
            own_variables = variables(value)
            if own_variables is not None:
                items = self._values(own_variables.values(), where)
                node = {"is": "function", "items": items}
        elif known and has_convention(value):
            node = {"is": "own", "state": self.value(_own_state(value, where), where)}
        elif has_attributes(value) and not has_convention(value):
            name = self._class(kind, where, known=known)
            named = attributes(value).items()
            own = {label: self.value(part, f"{where}.{label}") for label, part in named}
            node = {"is": "object", "class": name, "attributes": own}
        if node is None:
            raise _unsavable(value, where)
        return node

    def _refuse_views(self, value: np.ndarray[Any, Any], where: str) -> None:
        whole: Any = value
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        self._alive.append(whole)
        if id(whole) in self._arrays:
            raise UnsavableError(f"{where} is an array that shares memory with another one")
        self._arrays.add(id(whole))

    def _mapping(self, value: dict[Any, Any], where: str) -> dict[str, Any]:
        pairs = [
            [self._key(key, where), self.value(own, f"{where}[{_shown(key)}]")]
            for key, own in value.items()
        ]
        node = {"is": type(value).__name__, "items": pairs}
        if isinstance(value, defaultdict) and value.default_factory is not None:
            name = getattr(value.default_factory, "__name__", "")
            if FACTORIES.get(name) is value.default_factory:
                return {**node, "factory": name}
            return {**node, "factory": self.value(value.default_factory, f"{where}.factory")}
        return node

    def _key(self, key: Any, where: str) -> Any:
        """Encode a key. It is hashed before it is filled, so it has to be plain or by identity."""
        value = self.value(key, f"a key of {where}")
        by_identity: tuple[Any, ...] = (object.__hash__, Tensor.__hash__)
        if isinstance(value, dict) and "@" in value and type(key).__hash__ not in by_identity:
            raise _unsavable(key, f"a key of {where}")
        return value

    def _tensor(self, value: Tensor, where: str, *, known: bool) -> dict[str, Any]:
        if type(value) not in {Tensor, nn.Parameter, nn.Buffer} and not known:
            raise _unsavable(value, where)
        if not value.is_leaf:
            raise UnsavableError(f"{where} is a tensor with a history of operations (detach it)")
        if _hooks(value):
            raise UnsavableError(f"{where} is a tensor with hooks")
        node: dict[str, Any] = {"is": "tensor", "requires_grad": value.requires_grad}
        if isinstance(value, nn.Parameter):
            node["parameter"] = True
        if value.grad is not None:
            node["grad"] = self.value(value.grad, f"{where}.grad")
        place = memory_of(value) if has_memory(value) and not known else None
        if place in self._memory:
            if place not in self._reference.memory:
                raise UnsavableError(f"{where} is a view of a tensor whose memory is new")
            base = self._reference.objects[self._memory[place][0]]
            form = [value.storage_offset(), [*value.shape], [*value.stride()]]
            dtype = str(value.dtype).removeprefix("torch.")
            return {**node, "view": [self.value(base, where), *form, dtype]}
        node["data"] = len(self.found.tensors)
        node["device"] = str(value.device)
        self.found.tensors.append(value.detach())
        return node

    def _class(self, kind: type[Any], where: str, *, known: bool = False) -> str:
        """Return a class's name. New objects may only have classes that the run already uses."""
        if not known and (
            top_level(kind) not in self._reference.packages or hasattr(kind, "__del__")
        ):
            raise UnsavableError(f"{where} is a {kind.__module__}.{kind.__qualname__}")
        return f"{kind.__module__}:{kind.__qualname__}"


def _own_state(value: Any, where: str) -> Any:
    try:
        return value.state_dict()
    except Exception as error:  # in the user's code; the run must not fail
        reason = f"{type(error).__name__}: {error}"
        raise UnsavableError(f"{where} is an object whose state_dict fails ({reason})") from error


def _hooks(value: Tensor) -> bool:
    return bool(value._backward_hooks or getattr(value, "_post_accumulate_grad_hooks", None))


def _shown(key: Any) -> str:
    return repr(key) if isinstance(key, str | int) else f"a {type(key).__name__}"


def _unsavable(value: Any, where: str) -> UnsavableError:
    return UnsavableError(f"{where} is a {type(value).__name__}")
