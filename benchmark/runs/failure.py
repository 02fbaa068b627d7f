"""The reasons for failed runs, as stored. Importing this needs no torch."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from sysconfig import get_path
from traceback import TracebackException, extract_tb
from typing import Any, Self

import palimpsest
from palimpsest.strategies.base.diverged import DivergedError


class FailureKind(StrEnum):
    """The kind of a failure."""

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    KILLED = "killed"
    TIMED_OUT = "timed out"
    ERROR = "error"


_MOST_CHARACTERS = 20_000
"""The limit for a message or a traceback; a longer one is cut in the middle."""

_NO_MEMORY = ("MemoryError", "OutOfMemoryError")
"""Names of exceptions, so that torch need not be imported."""

_NO_MEMORY_MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to map segment",
)
"""Parts of messages of torch's ``RuntimeError`` and of the system's loader."""


_LIBRARIES = [Path(get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_TRAINERS = [
    *(Path(palimpsest.__path__[0]) / room for room in ("benchmark", "strategies")),
    *(place / "avalanche" for place in _LIBRARIES),
]
"""The packages whose code trains models. Their lines say more than those of torch."""


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Attributes:
        kind: Of the failure.
        message: The exception's type and message.
        traceback: Python's traceback without the folders of this machine; empty if the run's
            process was killed.
    """

    kind: FailureKind
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return the failure for an exception."""
        message = _shortened(f"{type(error).__name__}: {_said(error)}")
        return cls(_kind(error, message), message, _traceback(error))

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Return the failure that ``to_json`` has written.

        Raises:
            ValueError: The data have another shape.
        """
        values = [data.get(name) for name in ("kind", "message", "traceback")]
        if not all(isinstance(value, str) for value in values):
            raise ValueError("a failure has a kind, a message and a traceback")
        kind, text, traceback = map(str, values)
        return cls(FailureKind(kind), text, traceback)

    def to_json(self) -> dict[str, str]:
        """Return the failure as JSON."""
        return {"kind": str(self.kind), "message": self.message, "traceback": self.traceback}


def lacks_memory(error: BaseException) -> bool:
    """Whether an import, or the start of a process, has failed for lack of memory."""
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or (isinstance(error, ImportError | OSError) and _says(str(error)))
    )


NO_MEMORY = (
    "there is not enough memory to import torch and to work; allow more (ulimit -v), or end other "
    "programs"
)
"""The message for such a failure."""


def raised_at(error: BaseException, own: Path | None) -> str:
    """Return the line that probably causes an exception: ``package/module.py, line 7``.

    It is the deepest line in the user's files; else in Palimpsest or Avalanche; else the line that
    raised it. Exceptions raised in libraries are seldom their fault.

    Args:
        error: The exception.
        own: A file that counts as the user's, wherever it is.
    """
    frames = extract_tb(error.__traceback__)
    _, _, frame = max((_nearness(Path(f.filename), own), i, f) for i, f in enumerate(frames))
    return f"{_module_path(frame.filename)}, line {frame.lineno}"


def _nearness(file: Path, own: Path | None) -> int:
    """Return 2 for a user's file, 1 for a file that trains models, 0 for another library."""
    if file == own:
        return 2
    if any(file.is_relative_to(package) for package in _TRAINERS):
        return 1
    return 2 * (file.is_file() and not any(file.is_relative_to(place) for place in _LIBRARIES))


def _kind(error: BaseException, message: str) -> FailureKind:
    if isinstance(error, DivergedError):
        return FailureKind.DIVERGED
    names = {base.__name__ for base in type(error).__mro__}
    if names & {*_NO_MEMORY} or (isinstance(error, RuntimeError) and _says(message)):
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.ERROR


def _says(message: str) -> bool:
    return any(words in message.lower() for words in _NO_MEMORY_MESSAGES)


def _traceback(error: BaseException) -> str:
    """Write a traceback with file names relative to the folders that Python imports from."""
    found = TracebackException.from_exception(error)  # reads the lines before files are renamed
    for part in _chain(found, set()):
        for frame in part.stack:
            frame.filename = _module_path(frame.filename)
    return _shortened("".join(found.format()))


def _said(error: BaseException) -> str:
    """Return the message of an exception; a plugin's exception may even fail at that."""
    try:
        return str(error)
    except Exception as other:
        return f"(its message cannot be read: {type(other).__name__})"


def _shortened(text: str) -> str:
    """Cut a text in the middle, and escape surrogates, which file names may contain."""
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = f"{text[:half]}\n[...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _chain(found: TracebackException, seen: set[int]) -> Iterator[TracebackException]:
    """Yield an exception, its causes, and the members of groups."""
    if id(found) in seen:
        return
    seen.add(id(found))
    yield found
    for other in (found.__cause__, found.__context__, *(found.exceptions or ())):
        if other is not None:
            yield from _chain(other, seen)


def _module_path(file: str) -> str:
    """Return a file as ``package/module.py``, or only its name if it is in no import folder."""
    path = Path(file)
    inside = [Path(place) for place in sys.path if place and path.is_relative_to(place)]
    nearest = max(inside, key=lambda place: len(place.parts), default=path.parent)
    return path.relative_to(nearest).as_posix()
