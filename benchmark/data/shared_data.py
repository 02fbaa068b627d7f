"""Shares tensors among processes, in files that each of them maps into memory."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

_Values = TypeVar("_Values")

_FAILURES = (OSError, RuntimeError)  # torch reports a full disk or a damaged file as the latter

_folder: Path | None = None


def share_through(folder: Path | None) -> None:
    """Set the folder of `shared`.

    Args:
        folder: The folder that all sharing processes use. It has to outlive their calls of
            `shared`; once a file is mapped, it may be deleted. ``None``: nothing is shared.
    """
    global _folder  # noqa: PLW0603  # told once, when the process starts
    _folder = folder


def sharing_folder() -> Path | None:
    """Return the folder of `shared`; ``None`` if nothing is shared."""
    return _folder


def shared(key: object, make: Callable[[], _Values]) -> _Values:
    """Return the values that the first process makes; the others map the same memory.

    Where nothing is shared, or the folder is full or cannot be used, this is ``make()``.

    Args:
        key: Identifies the values; its ``repr`` is the same in every process.
        make: Makes them, the same in every process: tensors on the CPU in tuples, lists and
            dictionaries, and numbers and text. Its errors are passed on.
    """
    if _folder is None:
        return make()
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    file = _folder / f"{digest[:16]}.tensors"
    with _one_at_a_time(file.with_suffix(".lock")):
        with contextlib.suppress(*_FAILURES):
            return cast(_Values, _map(file))
        values = make()
        with contextlib.suppress(*_FAILURES):
            _write(values, file)
            values = _map(file)
    return values


@contextlib.contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait for the process that holds the lock; it is released however that process ends."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without a lock the same is made twice, harmlessly
            fcntl.flock(stack.enter_context(lock.open("w")), fcntl.LOCK_EX)
        yield


def _write(values: object, file: Path) -> None:
    """Write a file all at once, so that other processes see it whole or not at all."""
    temporary = file.with_suffix(f".{os.getpid()}")
    try:
        torch.save(values, temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _map(file: Path) -> Any:
    """Map a file without copying it; writing to the tensors would copy the pages written."""
    return torch.load(file, mmap=True, weights_only=True)
