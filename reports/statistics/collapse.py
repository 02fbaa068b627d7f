"""Seeds that are far from all others: the one rule for runs that collapsed.

A few runs are *far below* the others where a gap separates them from the rest, which is more than
half of the runs, and the gap is wider than ``GAP`` and wider than the range of the rest; *far
above* is the mirror image. A spread that is merely wide is not a collapse.

Where runs collapse now and then, the mean of a few seeds says little, and its interval is too
narrow: with one run in seven at 20 instead of 90 %, Student's 95 % interval covers the true mean in
39, 48, 55, 80 and 92 % of cases with 3, 4, 5, 10 and 20 seeds. So the report shows the median and
the share of collapsed runs beside such a mean. With ``n`` seeds, collapses of probability ``q`` go
unobserved with probability ``(1 - q)^n``; for q = 0.15 that is 52, 44, 20 and 4 % with 4, 5, 10 and
20 seeds.

How often the rule finds runs far off, per cent, in 20,000 simulations each. Above the line no run
is far off, so these are false alarms. Below it each run collapses with probability 0.15; counted
are samples in which some runs collapsed, but fewer than half:

========================================================  =====  =====  =====  =====
law of the runs, points                                     n=4    n=5   n=10   n=20
========================================================  =====  =====  =====  =====
normal, deviation 1 to 5                                    0.0    0.0    0.0    0.0
normal, deviation 10                                        8.3    6.6    1.3    0.1
beta(18, 2)                                                 2.3    2.2    1.4    0.9
--------------------------------------------------------  -----  -----  -----  -----
90, deviation 2, or 20, deviation 3                       100.0  100.0  100.0  100.0
90, deviation 5, or 40, deviation 10                       99.2   99.0   97.4   91.9
90, deviation 2, or 60, deviation 10                       79.6   77.4   68.2   49.1
========================================================  =====  =====  =====  =====
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 0.2
"""The minimum width of the gap, a fraction: 20 points."""


@dataclass(frozen=True)
class Strays:
    """Runs that are far from the others."""

    count: int
    below: bool

    @property
    def where(self) -> str:
        """``far below`` or ``far above``."""
        return "far below" if self.below else "far above"


def strays(values: Sequence[float]) -> Strays | None:
    """Return which runs are far from the others, ``None`` where none are.

    Args:
        values: One per run, fractions, in any order; with fewer than three there are none.
    """
    upwards = sorted(values)
    downwards = [-value for value in reversed(upwards)]
    found = [
        (gap, Strays(count, below))
        for below, ordered in ((True, upwards), (False, downwards))
        for count, gap in _parted(ordered)
    ]
    return max(found, key=lambda one: one[0], default=(0.0, None))[1]


def _parted(ordered: Sequence[float]) -> list[tuple[int, float]]:
    """Return how many of the lowest values a gap separates from the majority, and the gap."""
    found = []
    for count in range(1, (len(ordered) + 1) // 2):
        gap = ordered[count] - ordered[count - 1]
        if gap > max(GAP, ordered[-1] - ordered[count]):
            found.append((count, gap))
    return found
