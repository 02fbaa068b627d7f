"""A property of a strategy, and its verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from palimpsest.benchmark.kit.candidate import Candidate

Outcome = Literal["pass", "weak", "fail", "not applicable"]


class BrokenError(Exception):
    """The property does not hold; the message says what was observed."""


class WeakError(Exception):
    """The property hardly holds: a remark, not a fault; the message says what was observed."""


class NotApplicableError(Exception):
    """The property cannot be checked for this strategy; the message says why."""


@dataclass(frozen=True)
class Property:
    """Something that must hold for every strategy.

    Attributes:
        name: Its name.
        meaning: What has to hold, in a sentence.
        cause: The usual cause if it does not.
        check: Returns what was measured, or raises ``BrokenError``, ``WeakError`` or
            ``NotApplicableError``.
    """

    name: str
    meaning: str
    cause: str
    check: Callable[[Candidate], str]


def must_hold(
    name: str, meaning: str, cause: str
) -> Callable[[Callable[[Candidate], str]], Property]:
    """Turn a function that checks a candidate into a ``Property``."""
    return lambda check: Property(name, meaning, cause, check)


def properties_in(module: ModuleType) -> list[Property]:
    """Return the properties that a module defines, in order."""
    return [each for each in vars(module).values() if isinstance(each, Property)]


@dataclass(frozen=True)
class PropertyResult:
    """The outcome of a property for one strategy.

    Attributes:
        property: Its name.
        outcome: Whether it holds.
        detail: What was observed, or why it does not apply.
        meaning: See ``Property``.
        cause: See ``Property``; empty if it holds, and where the strategy raised an exception,
            whose cause is another.
    """

    property: str
    outcome: Outcome
    detail: str
    meaning: str
    cause: str
