"""YAML from others: read at once and in little memory, or refused in a sentence.

YAML itself has no limits: aliases can stand for gigabytes, and a number can have a million digits.
A suite needs none of that.
"""

from __future__ import annotations

from typing import Any

import yaml

MOST_BYTES = 2**20
MOST_VALUES = 50_000
"""Keys and values, each alias counted as what it stands for."""

MOST_LEVELS = 50
MOST_DIGITS = 100
MOST_CHARACTERS = 200
"""The limit of a name."""

_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_SCALARS = (ValueError, KeyError, AttributeError, TypeError, OverflowError)
"""PyYAML raises these for a text that does not fit its type."""


class YAMLTextError(Exception):
    """A problem of a text, and the line where it is known, counted from 1."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


class Loader(yaml.SafeLoader):
    """Builds plain data only, and counts while it reads.

    Raises:
        YAMLTextError: The text is too large, nested too deeply, or an anchor refers to itself.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._levels = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        """The values and levels that each finished node stands for."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node, unless a limit is passed."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        self._values += 1
        self._levels += 1
        if self._levels > MOST_LEVELS:
            raise _too_deep(line)
        if self._values > MOST_VALUES:
            raise _too_large(line)
        node: Any = super().compose_node(parent, index)
        self._levels -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise YAMLTextError("the anchor here refers to itself", node.start_mark.line + 1)
        else:
            self._sizes[id(node)] = self._size(node)
        values, levels = self._sizes[id(node)]
        if values > MOST_VALUES:
            raise _too_large(line)
        if levels > MOST_LEVELS:
            raise _too_deep(line)
        return node

    def _size(self, node: Any) -> tuple[int, int]:
        inside = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            inside = [part for pair in inside for part in pair]
        sizes = [self._sizes[id(part)] for part in inside]
        return 1 + sum(v for v, _ in sizes), 1 + max((n for _, n in sizes), default=0)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return a node's value, unless its text does not fit its type."""
        if node.tag in _NUMBERS and len(str(node.value)) > MOST_DIGITS:
            raise _too_long(node.start_mark.line + 1)
        try:
            return super().construct_object(node, deep)
        except _SCALARS as error:
            kind = node.tag.rpartition(":")[2]
            problem = f"{str(node.value)[:80]!r} is no {kind} ({error})"
            raise YAMLTextError(problem, node.start_mark.line + 1) from None


def load(text: str) -> Any:
    """Return the plain data of a short text, such as a value on the command line.

    Raises:
        YAMLTextError: It is not valid YAML, or passes a limit.
    """
    if len(text) > MOST_BYTES:
        raise _too_large(None)
    try:
        return Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise not_yaml(error, text) from None


def not_yaml(error: yaml.YAMLError, text: str) -> YAMLTextError:
    """Return PyYAML's error with the line and without the quotation.

    Args:
        error: As it was raised.
        text: What was read.
    """
    if isinstance(error, yaml.reader.ReaderError):  # a control character
        line = text[: error.position].count("\n") + 1
        return YAMLTextError(f"the character {chr(int(error.character))!r} is not allowed", line)
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or "it cannot be parsed")
    return YAMLTextError(problem, mark.line + 1 if mark else None)


def unfit(value: Any) -> str | None:
    """Say why no setting of a suite can have a value; ``None`` if one can.

    Args:
        value: A key or a value, no list or mapping.
    """
    if isinstance(value, str):
        for character in value:
            if character == "\0" or "\ud800" <= character <= "\udfff":
                return (
                    f"the character {character!r} cannot be stored; remove it (expected text "
                    "without NUL and without halves of surrogate pairs)"
                )
    elif isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        return f"expected a number of at most {MOST_DIGITS} digits"
    return None


def _too_large(line: int | None) -> YAMLTextError:
    problem = f"too large: over {MOST_VALUES:,} keys and values, those of aliases (*name) counted"
    return YAMLTextError(f"{problem}; split it into several files", line)


def _too_deep(line: int) -> YAMLTextError:
    return YAMLTextError(
        f"lists or mappings nested too deeply: over {MOST_LEVELS} levels, a suite has five", line
    )


def _too_long(line: int) -> YAMLTextError:
    return YAMLTextError(f"expected a number of at most {MOST_DIGITS} digits", line)
