"""Values that a user sets in place of a suite file's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files import yaml_text

OPTION = "--set"

_LONGEST = 200
"""Characters of an option that a message quotes."""

_GROUPS = {"scenarios", "strategies"}


@dataclass(frozen=True)
class Assignment:
    """One value for a suite file, by its path.

    Attributes:
        path: Keys, from the top level of the file down.
        value: Plain data.
        origin: Where it is from, for messages about the value.
        text: As the user gave it, for messages about the path.
    """

    path: tuple[str, ...]
    value: Any
    origin: str
    text: str

    def __str__(self) -> str:
        return f"{self.origin} {_shown(self.text)}"

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Parse ``--set PATH=VALUE``, with a dotted path and a value in YAML.

        Raises:
            UserError: No equals sign, no path to a setting, or no valid YAML value.
        """
        expected = "PATH=VALUE, for example scenarios.cold_start.width=100"
        dotted, value = parse_assignment(text, expected)
        return cls(tuple(dotted.split(".")), value, OPTION, text)._checked()

    @classmethod
    def of(cls, dotted: str, value: Any) -> Assignment:
        """Return a value from a Python program, for a dotted path.

        Raises:
            UserError: No path to a setting.
        """
        return cls(tuple(dotted.split(".")), value, "argument settings", f"{dotted!r}")._checked()

    @property
    def label(self) -> tuple[str, str] | None:
        """The scenario or strategy that the path leads into: its group and its name."""
        return (self.path[0], self.path[1]) if self.path[0] in _GROUPS else None

    def _checked(self) -> Assignment:
        if self.path[0] in _GROUPS and len(self.path) < 2:
            raise UserError(f"{self}: expected {self.path[0]}.NAME.KEY=VALUE")
        if len(self.path) > yaml_text.MOST_LEVELS:
            raise UserError(f"{self}: nested too deeply: over {yaml_text.MOST_LEVELS} levels")
        return self


def parse_assignment(assignment: str, expected: str) -> tuple[str, Any]:
    """Return the name and the value of a ``--set`` option.

    Raises:
        UserError: No name or equals sign, or no valid YAML value; says what was ``expected``.
    """
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise UserError(f"{OPTION} {_shown(assignment)}: expected {expected}")
    try:
        return name, yaml_text.load(text)
    except yaml_text.YAMLTextError as error:
        raise UserError(
            f"{OPTION} {_shown(assignment)}: not a YAML value: {error.problem}"
        ) from None


def _shown(text: str) -> str:
    """Return an option as messages quote it: in one line, and cut if it is long."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return short if short.isprintable() else repr(short)
