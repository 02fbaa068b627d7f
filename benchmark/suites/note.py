"""A suite's description and order, which a store keeps beside its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from palimpsest.benchmark.files.untrusted import parsed


@dataclass(frozen=True)
class SuiteNote:
    """The description and order of a suite, whatever part of it has run.

    Attributes:
        name: The suite's name.
        description: One sentence or more; may be empty.
        scenarios: Names of its scenarios, in its file's order.
        strategies: Names of its strategies, in its file's order.
    """

    name: str
    description: str
    scenarios: tuple[str, ...]
    strategies: tuple[str, ...]


COLUMNS = ("name", "description", "scenarios", "strategies")
"""Of a store's table of suites."""

_NOTE = TypeAdapter(SuiteNote)


def columns_of(note: SuiteNote) -> dict[str, str]:
    """Return the stored values of a suite, by column; lists are JSON."""
    values = asdict(note)
    return {
        column: values[column] if isinstance(values[column], str) else json.dumps(values[column])
        for column in COLUMNS
    }


def note_of(values: Mapping[str, Any]) -> SuiteNote:
    """Return the suite that ``columns_of`` stored.

    Raises:
        ValueError: The values have another shape.
    """
    lists = {name: parsed(str(values[name])) for name in ("scenarios", "strategies")}
    try:
        return _NOTE.validate_python({**{name: values[name] for name in COLUMNS}, **lists})
    except ValidationError:
        raise ValueError(
            "a suite has a name, a description, and lists of scenarios and strategies"
        ) from None
