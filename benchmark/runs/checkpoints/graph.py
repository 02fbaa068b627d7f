"""The state of a run as a graph: all reachable objects, in a fixed order."""

from __future__ import annotations

import functools
import hashlib
import logging
import types
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLExperience
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from pydantic import BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from palimpsest.benchmark.randomness.rng_state import GENERATORS
from palimpsest.benchmark.training.template import Batches

PLAIN = (type(None), bool, int, float, str, bytes, complex, range, slice, type(...))
"""Types of values without an identity."""

IMMUTABLE = (torch.dtype, torch.device, torch.layout, torch.memory_format, np.generic, np.dtype)
"""Likewise, with their subclasses."""

_CONSTANT = (
    *(type, types.ModuleType, types.BuiltinFunctionType, types.MethodWrapperType, logging.Logger),
    *(PurePath, Enum, CLExperience, AvalancheDataset, Batches),
    EvaluationPlugin,  # an empty one
)
"""Types of objects that no training changes: settings, data, classes."""

_ELSEWHERE = {"plugins", "adapted_dataset", "dataloader", "mbatch", "mb_output", "loss"}
"""Attributes of a template that are saved elsewhere or not at all: plugins are roots, and the
others belong to a training or a step, see ``TrainingState``."""

Memory = tuple[str, int]
"""A device and an address."""

_OURS = {"palimpsest", "torch", "avalanche"}
_WITH_DATA = _OURS | {"torchvision"}


def is_plain(value: Any) -> bool:
    """Whether a value has no identity and no parts."""
    return type(value) in PLAIN or isinstance(value, IMMUTABLE)


def is_constant(value: Any) -> bool:
    """Whether no training changes an object, so that a reference to it is sufficient."""
    if isinstance(value, _CONSTANT):
        return True
    if isinstance(value, types.FunctionType):
        return not value.__closure__ or top_level(value) in _OURS
    kind = type(value)
    if isinstance(value, BaseModel):
        return bool(kind.model_config.get("frozen"))
    if isinstance(value, Dataset):
        return top_level(kind) in _WITH_DATA  # a user's data set may be a growing memory
    ours = top_level(kind) == "palimpsest" and is_dataclass(value)
    return ours and kind.__dataclass_params__.frozen


def has_convention(value: Any) -> bool:
    """Whether an object has ``state_dict`` and ``load_state_dict``."""
    if isinstance(value, nn.Module | torch.optim.Optimizer):
        return False  # their state dicts lack hooks and modes
    kind = type(value)
    return callable(getattr(kind, "state_dict", None)) and callable(
        getattr(kind, "load_state_dict", None)
    )


def has_attributes(value: Any) -> bool:
    """Whether attributes are the whole state of an object, without hidden state in C."""
    kind = type(value)
    if isinstance(value, BaseException) or not kind.__flags__ & _HEAP_TYPE:
        return False
    if isinstance(value, nn.Module | torch.optim.Optimizer):
        return True
    plain: Any = (object.__reduce_ex__, object.__reduce__)
    bases = [base for base in kind.__mro__ if base is not object]
    return (kind.__reduce_ex__, kind.__reduce__) == plain and all(
        base.__flags__ & _HEAP_TYPE and base.__new__ in _NEW for base in bases
    )


_HEAP_TYPE = 1 << 9
"""Python's flag for classes that are not built in."""


def _generic_new() -> set[Any]:
    from typing import Generic, Protocol

    return {object.__new__, Generic.__new__, Protocol.__new__}


_NEW = _generic_new()


def attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that belong to its state."""
    found = dict(getattr(value, "__dict__", {}))
    for name in slots(type(value)):
        if hasattr(value, name):
            found[name] = getattr(value, name)
    if isinstance(value, SupervisedTemplate):
        found = {name: own for name, own in found.items() if name not in _ELSEWHERE}
    return found


def slots(kind: type[Any]) -> list[str]:
    """Return the names of a class's slots."""
    found: list[str] = []
    for base in kind.__mro__:
        own = vars(base).get("__slots__", ())
        names = [own] if isinstance(own, str) else list(own)
        found += [_mangled(name, base) for name in names]
    return [name for name in found if name not in {"__dict__", "__weakref__"}]


def _mangled(name: str, kind: type[Any]) -> str:
    """Return the mangled name of a private attribute."""
    private = name.startswith("__") and not name.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{name}" if private else name


def top_level(kind: Any) -> str:
    """Return the top-level package or file of a class or function."""
    return str(getattr(kind, "__module__", None) or "").partition(".")[0]


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an object, each with a label; a constant has none."""
    if isinstance(value, Tensor):
        if value.is_leaf and value.grad is not None:
            yield "grad", value.grad
    elif isinstance(value, list | tuple | deque):
        yield from ((f"[{place}]", part) for place, part in enumerate(value))
    elif isinstance(value, dict):
        for place, (key, part) in enumerate(value.items()):
            plain = is_plain(key)
            if not plain:
                yield f" key {place}", key
            yield f"[{key!r}]" if plain else f"[{place}]", part
    elif not isinstance(value, GENERATORS) and not is_constant(value):
        yield from _inner(value).items()


def _inner(value: Any) -> dict[str, Any]:
    """Return the parts of an object that is no container."""
    if isinstance(value, types.MethodType):
        return {".__self__": value.__self__}
    if isinstance(value, weakref.ref):
        return {"()": value()}
    if isinstance(value, functools.partial):
        return {".func": value.func, ".args": value.args, ".keywords": value.keywords}
    if isinstance(value, types.FunctionType):
        return {f" {name}": own for name, own in (variables(value) or {}).items()}
    if has_convention(value) or not has_attributes(value):
        return {}
    return {f".{name}": part for name, part in attributes(value).items()}


def variables(function: types.FunctionType) -> dict[str, Any] | None:
    """Return the closure variables of a function, by name; ``None`` if one was deleted."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    try:
        return {name: cell.cell_contents for name, cell in cells}
    except ValueError:  # such as the name of an exception after its block
        return None


def without_identity(value: Any) -> bool:
    """Whether an object is replaced, not filled, since an equal one is as good."""
    return isinstance(value, tuple | frozenset | types.MethodType | weakref.ref)


def has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is in one piece of memory, which others may share."""
    return tensor.layout is torch.strided and tensor.numel() > 0


def memory_of(tensor: Tensor) -> Memory:
    """Return the device and address of a tensor's memory."""
    return str(tensor.device), tensor.untyped_storage().data_ptr()


class Reference:
    """The objects of a run when it was built, numbered in a fixed order.

    A run that is built again has the same objects with the same numbers.

    Args:
        roots: The first objects, by name.

    Attributes:
        objects: By number.
        digest: A hash of the graph of objects; two runs with the same settings have the same.
        packages: The packages and files of their classes.
        memory: The numbers of the tensors in each piece of memory.
    """

    def __init__(self, roots: dict[str, Any]) -> None:
        self.objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self.packages: set[str] = set()
        digest = hashlib.sha256()
        stack = [*reversed(roots.items())]
        while stack:
            label, value = stack.pop()
            if is_plain(value):
                continue
            known = self._numbers.get(id(value))
            kind = type(value)
            digest.update(f"{label} {kind.__module__}.{kind.__qualname__} {known}\n".encode())
            if known is not None:
                continue
            if not without_identity(value):
                self._numbers[id(value)] = len(self.objects)
                self.objects.append(value)
                if not is_constant(value):
                    self.packages |= {top_level(base) for base in kind.__mro__}
            stack += [*reversed([*parts(value)])]
        self.packages -= {"builtins", "collections", "typing", "abc", "types", "enum", "pydantic"}
        self.digest = digest.hexdigest()
        self.memory = self.memory_now()

    def memory_now(self) -> dict[Memory, list[int]]:
        """Return the numbers of the tensors that are now in each piece of memory."""
        found: dict[Memory, list[int]] = {}
        for number, value in enumerate(self.objects):
            if isinstance(value, Tensor) and has_memory(value):
                found.setdefault(memory_of(value), []).append(number)
        return found

    def number(self, value: Any) -> int | None:
        """Return an object's number; ``None`` if it is new."""
        return self._numbers.get(id(value))
