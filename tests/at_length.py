"""Cases of which ``make test`` asks some, and ``make thorough`` the others."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def at_length(values: Iterable[Any], long: Collection[Any]) -> list[Any]:
    """The values as parameters; those that take long, or repeat others, are thorough."""
    return [
        pytest.param(value, marks=[pytest.mark.thorough] if value in long else [])
        for value in values
    ]
