"""Whether the values of a dial that were tried stand close enough to each other.

A verdict on a strategy is a verdict on the best value that was tried. The scores of its neighbours
limit how much better a value between them may be. Where the score is a parabola of the place in the
grid around its top, and both neighbours score within ``w`` below the best value, none between them
is better by more than ``w / 8`` (with drops of ``a <= b``: by ``(b - a)^2 / (8 (a + b))``).
So a grid is *coarse* where a neighbour's score is below the 95 % interval of the best one's:
there a value between may be better by more than the noise of the seeds, and the result of the
strategy is a lower bound.

Scores are those by which a strength is chosen: average accuracy on the validation split, over the
seeds that all have. Test results take no part. Where the best value is an end of the grid, it has
one neighbour; that a better one may lie beyond is another question (``Choice.open_end``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.reports.analysis.choosing.choice import RULE, Choice, Tried
from palimpsest.reports.statistics.interval import DIGITS
from palimpsest.reports.wording.numbers import percent, strength_text
from palimpsest.reports.wording.words import joined


@dataclass(frozen=True, eq=False)
class Gap:
    """A neighbour of the best value that is too far from it.

    Attributes:
        drop: By how much its mean score is below the best one's, a fraction; ``None`` where it has
            failed runs.
        allowed: How far it may be: from the best mean down to the end of its interval.
    """

    beside: Tried
    drop: float | None
    allowed: float

    @property
    def text(self) -> str:
        """``1000 is 9.9 points below it (seeds ±0.8)``."""
        if self.drop is None:
            return f"{_written(self.beside)} has failed runs"
        open_ = percent(self.allowed)
        return f"{_written(self.beside)} is {percent(self.drop)} points below it (seeds ±{open_})"


def gaps(choice: Choice) -> tuple[Gap, ...]:
    """Return the neighbours of the value chosen on all seeds that are too far from it.

    A neighbour is too far where its mean score is below the interval of the best one's, or where
    it has failed runs.

    Returns:
        Nothing where the grid is fine, where it cannot be asked (fewer seeds than an interval
        needs, one value), and of dials that are a budget, such as a memory.
    """
    best = next((tried for tried in choice.tried if tried.cell is choice.cell), None)
    if choice.reason != RULE or best is None or choice.dial.budget:
        return ()
    top, low = best.validation.value, best.validation.low
    if top is None or low is None:
        return ()
    found = []
    for beside in choice.neighbours:
        score = None if beside.excluded else beside.validation.value
        near = score is not None and round(score, DIGITS) >= round(low, DIGITS)
        if not near and not _side_by_side(best, beside):
            found.append(Gap(beside, None if score is None else top - score, top - low))
    return tuple(found)


def coarse_text(choice: Choice) -> str:
    """Say where a strategy's grid is coarse, with all values tried; empty where it is not.

    ``tried 10, 100 and 1000; best 100; 1000 is 9.9 points below it (seeds ±0.8)``
    """
    found = gaps(choice)
    if not found or choice.variant is None:
        return ""
    tried = joined([_written(each) for each in choice.tried])
    return f"tried {tried}; best {choice.variant.value}; {joined([gap.text for gap in found])}"


def coarse_grids(choices: Sequence[Choice]) -> str:
    """Return a caveat that says which grids of a scenario are coarse; empty where none is."""
    found = [
        f"the grid of {choice.strategy} is coarse: {text}"
        for choice in choices
        if (text := coarse_text(choice))
    ]
    if not found:
        return ""
    return (
        f"{'; '.join(found)}. Scores are of the validation split; a value between may be better, "
        "so try some there, and read what is said of such a strategy as a lower bound."
    )


def _side_by_side(one: Tried, other: Tried) -> bool:
    """Whether no value lies between two."""
    a, b = one.cell.variant, other.cell.variant
    return a.dial.whole and abs((a.strength or 0.0) - (b.strength or 0.0)) <= 1


def _written(tried: Tried) -> str:
    variant = tried.cell.variant
    return strength_text(variant.strength or 0.0)
