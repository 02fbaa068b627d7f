"""The kit as a class for pytest.

In a test file beside the strategy::

    from pathlib import Path

    from palimpsest.benchmark.kit.testing import StrategyProperties

    class TestMyReg(StrategyProperties):
        target = str(Path(__file__).with_name("my_reg.py"))
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import pytest

from palimpsest.benchmark.kit.candidate import Candidate, candidates
from palimpsest.benchmark.kit.check import PROPERTIES, verdict
from palimpsest.benchmark.kit.property import Property


@cache
def _candidate(target: str, settings: tuple[tuple[str, Any], ...]) -> Candidate:
    found = candidates(target, dict(settings))
    if len(found) > 1:
        names = ", ".join(candidate.name for candidate in found)
        raise ValueError(f"{target} has several strategies ({names}); give each a class")
    return found[0]


class StrategyProperties:
    """One test for each property of the kit; inherit and set ``target``.

    Attributes:
        target: What ``palimpsest check`` takes: a plugin file, a strategy's name, or
            ``avalanche:CLASS``.
        settings: Settings of the strategy, in place of its defaults.
    """

    target: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.mark.parametrize("wanted", PROPERTIES, ids=lambda wanted: wanted.name)
    def test_property(self, wanted: Property) -> None:
        """The property holds, if only just, or does not apply."""
        candidate = _candidate(self.target, tuple(self.settings.items()))
        found = verdict(wanted, candidate)
        if found.outcome == "not applicable":
            pytest.skip(found.detail)
        if found.outcome == "weak":
            warnings.warn(f"{found.property}: weak: {found.detail}", stacklevel=1)
        cause = f"\nCause: {found.cause}" if found.cause else ""
        assert found.outcome != "fail", f"{found.detail}\n{found.meaning}{cause}"
