"""What the state of a run consists of: all objects that can be reached, in a fixed order."""

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
"""Types of values without an identity of their own."""

IMMUTABLE = (torch.dtype, torch.device, torch.layout, torch.memory_format, np.generic, np.dtype)
"""Likewise, with their subclasses."""

_CONSTANT = (
    *(type, types.ModuleType, types.BuiltinFunctionType, types.MethodWrapperType, logging.Logger),
    *(PurePath, Enum, CLExperience, AvalancheDataset, Batches),
    EvaluationPlugin,  # the harness's own, which has nothing to do
)
"""What no training changes: settings, data, classes."""

_ELSEWHERE = {"plugins", "adapted_dataset", "dataloader", "mbatch", "mb_output", "loss"}
"""Attributes of a template: its plugins are roots; the others are made anew for a training, or
belong to a step, see ``TrainingState``."""

Memory = tuple[str, int]
"""A device and an address."""

_OURS = {"palimpsest", "torch", "avalanche"}
_WITH_DATA = _OURS | {"torchvision"}


def is_plain(value: Any) -> bool:
    """Whether a value has no identity and no parts."""
    return type(value) in PLAIN or isinstance(value, IMMUTABLE)


def is_constant(value: Any) -> bool:
    """Whether no training changes an object, so that a reference to it is enough."""
    if isinstance(value, _CONSTANT):
        return True
    if isinstance(value, types.FunctionType):
        return not value.__closure__ or top_level(value) in _OURS
    kind = type(value)
    if isinstance(value, BaseModel):
        return bool(kind.model_config.get("frozen"))
    if isinstance(value, Dataset):
        return top_level(kind) in _WITH_DATA  # one of the user's own may be a memory that grows
    ours = top_level(kind) == "palimpsest" and is_dataclass(value)
    return ours and kind.__dataclass_params__.frozen


def has_convention(value: Any) -> bool:
    """Whether an object gives and takes its state by itself, as torch's do."""
    if isinstance(value, nn.Module | torch.optim.Optimizer):
        return False  # theirs leave out what is not needed elsewhere: hooks, modes
    kind = type(value)
    return callable(getattr(kind, "state_dict", None)) and callable(
        getattr(kind, "load_state_dict", None)
    )


def has_attributes(value: Any) -> bool:
    """Whether an object is all in its attributes: nothing of it is in a layer of C."""
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
"""Python's flag of classes that are not built in."""


def _generic_new() -> set[Any]:
    from typing import Generic, Protocol

    return {object.__new__, Generic.__new__, Protocol.__new__}


_NEW = _generic_new()


def attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that count as its state."""
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
    """Return the name by which Python knows a private attribute outside of its class."""
    private = name.startswith("__") and not name.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{name}" if private else name


def top_level(kind: Any) -> str:
    """Return the package or file that a class or function is from."""
    return str(getattr(kind, "__module__", None) or "").partition(".")[0]


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object consists of, each with a label; nothing of a constant."""
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
    """The parts of what is no container."""
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
    """Return the variables around a function that it uses, by name; ``None`` if one is gone."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    try:
        return {name: cell.cell_contents for name, cell in cells}
    except ValueError:  # deleted since, as the name of an exception is after its block
        return None


def without_identity(value: Any) -> bool:
    """Whether an object is replaced, not filled: it is as good as another one that is equal."""
    return isinstance(value, tuple | frozenset | types.MethodType | weakref.ref)


def has_memory(tensor: Tensor) -> bool:
    """Whether all of a tensor is in one piece of memory, which others may share."""
    return tensor.layout is torch.strided and tensor.numel() > 0


def memory_of(tensor: Tensor) -> Memory:
    """Return where a tensor's memory is."""
    return str(tensor.device), tensor.untyped_storage().data_ptr()


class Reference:
    """The objects of a run as it was built, numbered in the order in which they are met.

    A run that is built again has the same objects with the same numbers.

    Args:
        roots: Where to begin, by name.

    Attributes:
        objects: By number.
        digest: Of what they are and how they hang together; equal for two runs that were built
            alike.
        packages: The packages and files that their classes are from.
        memory: Which of them, by number, are tensors in the same memory.
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
        """Return which objects are tensors in the same memory by now."""
        found: dict[Memory, list[int]] = {}
        for number, value in enumerate(self.objects):
            if isinstance(value, Tensor) and has_memory(value):
                found.setdefault(memory_of(value), []).append(number)
        return found

    def number(self, value: Any) -> int | None:
        """Return an object's number, or ``None`` if it came later."""
        return self._numbers.get(id(value))
