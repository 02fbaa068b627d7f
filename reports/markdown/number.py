"""A number as a page prints it: with its interval, in the printed unit."""

from __future__ import annotations

from dataclasses import dataclass

from palimpsest.benchmark.metrics import Metric
from palimpsest.reports.analysis.quantities import SEEDS
from palimpsest.reports.formats.markdown import unbroken
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Column, Entry
from palimpsest.reports.wording.numbers import measured


@dataclass(frozen=True)
class Number:
    """A quantity over seeds, printed as ``90.7 [90.1, 91.3]``.

    Its attributes are in the printed unit (per cent for accuracies), so that a template can
    compare them: ``{% if s.value("k3", "wpl@1e4", "first_after").mean > 90 %}``.

    Attributes:
        found: Mean or estimate with its 95 % interval, in the quantity's own unit (fractions).
        quantity: The quantity.
        p: For a paired difference the p-value of "no difference", not corrected.
    """

    found: Estimate
    quantity: Metric
    p: float | None = None

    @property
    def mean(self) -> float | None:
        """The mean over seeds (the estimate for ``removed`` and hypervolumes)."""
        return self._scaled(self.found.value)

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval, ``None`` where there is none (below four seeds)."""
        return self._scaled(self.found.low)

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval, ``None`` where there is none (below four seeds)."""
        return self._scaled(self.found.high)

    @property
    def minimum(self) -> float | None:
        """The smallest value of a seed, ``None`` where seeds have no value of their own."""
        return self._scaled(self.found.minimum)

    @property
    def n(self) -> int:
        """How many seeds (or pairs) it rests on."""
        return self.found.n

    @property
    def bare(self) -> str:
        """The mean alone, as text: ``90.7``."""
        return self._entry.text

    @property
    def worst(self) -> str:
        """The smallest value of a seed, as text: ``88.9``."""
        return self._column.entry(self.found.minimum).text

    @property
    def apart(self) -> str:
        """``1 of 5 seeds far below, median 91.2`` where some are far from all others, or empty."""
        return self._entry.note

    @property
    def certain(self) -> bool:
        """Whether the 95 % interval excludes zero."""
        low, high = self.found.low, self.found.high
        return low is not None and high is not None and not low <= 0 <= high

    def verdict(self, lower: bool = False) -> str:
        """Return what the 95 % interval of a difference says, in words.

        Args:
            lower: Whether less is better, as of losses and calibration errors.

        Returns:
            ``better``, ``worse``, ``not told apart``, or ``too few seeds``.
        """
        low, high = self.found.low, self.found.high
        if low is None or high is None:
            return "too few seeds"
        if not self.certain:
            return "not told apart"
        return "better" if (high < 0 if lower else low > 0) else "worse"

    @property
    def p_text(self) -> str:
        """``p = 0.002``, ``p < 0.001``, or empty where there is no test."""
        if self.p is None:
            return ""
        return "p < 0.001" if self.p < 0.001 else f"p = {self.p:.2g}"

    def __str__(self) -> str:
        if self.found.value is None and self.found.reason:
            return self.found.reason
        bare = self.quantity.is_percentage or self.quantity.unit == "perplexity"
        return unbroken(self._entry, "" if bare else self.quantity.unit)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    @property
    def _column(self) -> Column:
        return Column("", write=measured(self.quantity), seeds=SEEDS)

    @property
    def _entry(self) -> Entry:
        return self._column.entry(self.found)

    def _scaled(self, value: float | None) -> float | None:
        return None if value is None else self.quantity.scale * value
