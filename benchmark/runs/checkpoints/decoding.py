"""Restores the saved state of a run in a run that was built again.

No code from the file is executed: objects get classes that the run already uses, without a call of
the constructor, and everything else is data.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.benchmark.randomness.rng_state import GENERATORS, make, set_state
from palimpsest.benchmark.runs.checkpoints.encoding import FACTORIES, Encoded
from palimpsest.benchmark.runs.checkpoints.graph import (
    Reference,
    attributes,
    has_attributes,
    has_convention,
    slots,
    top_level,
)
from palimpsest.benchmark.runs.checkpoints.plain import array_from_json, from_json, of_torch

_CONTAINERS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (list, set, dict, OrderedDict, defaultdict, Counter, deque)
}


class UnfitError(Exception):
    """A state does not fit the run, which may now be half changed; the message says why."""


def decode(encoded: Encoded, reference: Reference) -> dict[str, Any]:
    """Restore a state in a run that was built like the saved one.

    Args:
        encoded: The state.
        reference: The objects of the run.

    Returns:
        The roots.

    Raises:
        UnfitError: The state does not fit. The run must not be used any more.
    """
    try:
        return _Decoder(encoded, reference).whole()
    except UnfitError:
        raise
    except Exception as error:  # any effect of a damaged or foreign state
        raise UnfitError(f"it does not fit: {type(error).__name__}: {error}") from error


class _Decoder:
    """Finds or makes all objects first, and then fills them."""

    def __init__(self, encoded: Encoded, reference: Reference) -> None:
        self._encoded = encoded
        self._reference = reference
        self._found: dict[int, Any] = {}
        self._tensors: Sequence[Tensor] = encoded.tensors

    def whole(self) -> dict[str, Any]:
        """Return the roots, with all their parts restored."""
        for index in range(len(self._encoded.nodes)):
            self._object(index)
        with_state = []
        for index, node in enumerate(self._encoded.nodes):
            if "state" in node:
                with_state.append(index)
            else:
                self._fill(self._found[index], node)
        for index in reversed(with_state):  # inner ones are later in the list, and come first
            self._load_state(self._found[index], self._encoded.nodes[index])
        return {name: self._value(own) for name, own in self._encoded.root.items()}

    def _object(self, index: int) -> Any:
        if index not in self._found:
            node = self._encoded.nodes[index]
            self._found[index] = self._known(node) if "known" in node else self._new(node)
        return self._found[index]

    def _known(self, node: dict[str, Any]) -> Any:
        value = self._reference.objects[node["known"]]
        kind = type(value)
        wanted = node["is"]
        if wanted in _CONTAINERS:
            fits = kind is _CONTAINERS[wanted]
        elif wanted == "object":
            fits = node["class"] == f"{kind.__module__}:{kind.__qualname__}"
        elif wanted == "tensor":
            fits = isinstance(value, Tensor)
        else:
            fits = True  # checked when it is filled
        if not fits:
            raise UnfitError(f"it has another object in the place of a {kind.__name__}")
        return value

    def _new(self, node: dict[str, Any]) -> Any:
        kind = node["is"]
        if kind == "deque":
            return deque(maxlen=node["most"])
        if kind in _CONTAINERS:
            return _CONTAINERS[kind]()
        makers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "tensor": self._new_tensor,
            "ndarray": lambda node: array_from_json(node["data"]),
            "generator": lambda node: make(node["kind"]),
            "object": self._new_object,
        }
        if kind not in makers:
            raise UnfitError(f"it holds a {kind}")
        return makers[kind](node)

    def _new_object(self, node: dict[str, Any]) -> Any:
        kind = self._class(node["class"])
        made = object.__new__(kind)
        if not has_attributes(made):
            raise UnfitError(f"a {kind.__name__} cannot be made")
        return made

    def _new_tensor(self, node: dict[str, Any]) -> Tensor:
        if "view" in node:
            base, offset, shape, stride, dtype = node["view"]
            own = self._value(base).untyped_storage()
            value = torch.empty(0, dtype=of_torch(dtype), device=own.device)
            value.set_(own, offset, shape, stride)
        else:
            value = self._tensors[node["data"]].to(node["device"])
        if node.get("parameter"):
            value = nn.Parameter(value, requires_grad=False)
        return value.requires_grad_(node["requires_grad"])

    def _class(self, name: str) -> type[Any]:
        module, _, path = name.partition(":")
        found: Any = sys.modules.get(module)
        for part in path.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, type) or top_level(found) not in self._reference.packages:
            raise UnfitError(f"there is no class {name}")
        return found

    def _fill(self, value: Any, node: dict[str, Any]) -> None:
        kind = node["is"]
        if kind == "tensor":
            self._fill_tensor(value, node)
        elif kind in {"list", "set", "deque"}:
            items = [self._value(item) for item in node["items"]]
            value.clear()
            (value.update if kind == "set" else value.extend)(items)
        elif kind in _CONTAINERS:
            pairs = [(self._value(key), self._value(own)) for key, own in node["items"]]
            value.clear()
            for key, own in pairs:
                value[key] = own
            if kind == "defaultdict":
                factory = node.get("factory")
                known = FACTORIES.get(factory) if isinstance(factory, str) else None
                value.default_factory = known or self._value(factory)
        elif kind == "ndarray":
            if "known" in node:
                value[...] = array_from_json(node["data"])
        elif kind in {"function", "partial"}:
            self._fill_callable(value, node)
        elif kind == "object":
            self._fill_object(value, node)
        else:
            raise UnfitError(f"it holds a {kind}")

    @torch.no_grad()
    def _fill_tensor(self, value: Tensor, node: dict[str, Any]) -> None:
        if "known" in node:
            saved = self._tensors[node["data"]]
            if (value.shape, value.dtype) != (saved.shape, saved.dtype):
                raise UnfitError("it has a tensor of another shape")
            value.requires_grad_(node["requires_grad"])
            if value.layout is torch.strided:
                value.copy_(saved)
            elif not torch.equal(value.to_dense(), saved.to_dense()):
                raise UnfitError("a sparse tensor has changed")
        if value.is_leaf:
            value.grad = self._value(node["grad"]) if "grad" in node else None

    def _fill_callable(self, value: Any, node: dict[str, Any]) -> None:
        if isinstance(value, types.FunctionType):
            cells = value.__closure__ or ()
            for cell, content in zip(cells, node["items"], strict=True):
                cell.cell_contents = self._value(content)
        elif not isinstance(value, functools.partial):
            raise UnfitError(f"it has a function in the place of a {type(value).__name__}")
        else:
            self._value(node["items"])  # the same objects, filled in their turn

    def _fill_object(self, value: Any, node: dict[str, Any]) -> None:
        own = {name: self._value(part) for name, part in node["attributes"].items()}
        inner = set(slots(type(value)))
        for name in attributes(value).keys() - own.keys():
            object.__delattr__(value, name)
        if hasattr(value, "__dict__"):
            for name in own.keys() - inner & own.keys():
                value.__dict__.pop(name, None)  # to restore the order, too
            value.__dict__.update({n: part for n, part in own.items() if n not in inner})
        for name in own.keys() & inner:
            object.__setattr__(value, name, own[name])

    def _load_state(self, value: Any, node: dict[str, Any]) -> None:
        state = self._value(node["state"])
        if node["is"] == "generator" and isinstance(value, GENERATORS):
            set_state(value, state)
        elif node["is"] == "own" and has_convention(value):
            value.load_state_dict(state)
        else:
            raise UnfitError(f"it has another object in the place of a {type(value).__name__}")

    def _value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        readers: dict[str, Callable[[Any], Any]] = {
            "@": self._object,
            "known": self._reference.objects.__getitem__,
            "tuple": lambda parts: tuple(map(self._value, parts)),
            "Size": lambda parts: torch.Size(map(self._value, parts)),
            "frozenset": lambda parts: frozenset(map(self._value, parts)),
            "named": self._named,
            "enum": self._enum,
            "method": self._method,
            "weak": self._weak,
        }
        return readers[kind](content) if kind in readers else from_json(kind, content)

    def _named(self, content: Any) -> Any:
        kind = self._class(content[0])
        if not issubclass(kind, tuple):
            raise UnfitError(f"{content[0]} is no tuple")
        return tuple.__new__(kind, [self._value(part) for part in content[1]])

    def _enum(self, content: Any) -> Any:
        kind = self._class(content[0])
        if not issubclass(kind, Enum):
            raise UnfitError(f"{content[0]} is no enumeration")
        return kind[content[1]]

    def _method(self, content: Any) -> Any:
        owner = self._value(content[0])
        function = getattr(type(owner), content[1], None)
        if not isinstance(function, types.FunctionType):
            raise UnfitError(f"a {type(owner).__name__} has no method {content[1]}")
        return types.MethodType(function, owner)

    def _weak(self, content: Any) -> Any:
        inner = self._value(content)
        return _DEAD if inner is None else weakref.ref(inner)


class _Nothing:
    """The target of a dead weak reference."""


_DEAD = weakref.ref(_Nothing())
