"""Which strength stands for a strategy; ``cross_fitting.py`` chooses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from palimpsest.benchmark.runs.record import Dial, Facts
from palimpsest.reports.runs.cells import Cell, Variant, dial_of
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import strength_text
from palimpsest.reports.wording.words import several


def rule(dial: Dial) -> str:
    """Say by which rule a strategy's strength is chosen."""
    return (
        f"the {dial.name} with the highest average accuracy of all models at the end on the "
        f"validation split, mean over the seeds that all {dial.plural} have; of equal ones the "
        f"{dial.least}; {dial.plural} with failed runs are left out"
    )


def crossed(dial: Dial) -> str:
    """Say at which strength each seed is reported."""
    return (
        f"each half of the seeds is reported at the {dial.name} that was chosen on the other half"
    )


RULE = "rule"
"""The reason of a choice that was made by ``rule``."""


@dataclass(frozen=True)
class Mixed(Variant):
    """A strategy whose seeds are reported at more than one strength.

    Attributes:
        parts: The strengths with their numbers of seeds, the most frequent one first.
    """

    parts: tuple[tuple[float, int], ...] = ()

    @property
    def value(self) -> str:
        """``1000 (3 of 5 seeds), 1e4 (2)``."""
        total = several(sum(count for _, count in self.parts), "seed")
        (first, count), *rest = self.parts
        others = [f", {strength_text(strength)} ({n})" for strength, n in rest]
        return f"{strength_text(first)} ({count} of {total}){''.join(others)}"


@dataclass(frozen=True, eq=False)
class Tried:
    """One strength that was tried.

    Attributes:
        validation: Its score: average validation accuracy of all models at the end, mean over
            the seeds that are compared (over all its seeds where it is excluded).
        excluded: Why it cannot be chosen, ``None`` where it can.
    """

    cell: Cell
    validation: Estimate
    excluded: str | None


@dataclass(frozen=True, eq=False)
class Choice:
    """Which strength stands for a strategy in one scenario.

    Attributes:
        cell: The runs of the strength that was chosen on all seeds, the one to use next time;
            ``None`` where none could be chosen.
        reported: The runs that stand for the strategy in every number: each seed at the strength
            that was chosen on the other half of the seeds. ``cell`` itself where both halves agree;
            otherwise its variant is ``Mixed``. ``None`` where ``cell`` is.
        reason: ``RULE``, or why there was nothing to choose, in words.
        tried: Every strength, from weak to strong.
        compared: On how many seeds the strengths were compared. A single seed is reported at the
            strength that was chosen on it, since there is no other half.
    """

    scenario: str
    strategy: str
    facts: Facts
    cell: Cell | None
    reported: Cell | None
    reason: str
    tried: tuple[Tried, ...]
    compared: int

    @property
    def variant(self) -> Variant | None:
        """The strategy at the strength that was chosen on all seeds."""
        return None if self.cell is None else self.cell.variant

    @property
    def dial(self) -> Dial:
        """What its strengths are called."""
        return dial_of(tried.cell.variant for tried in self.tried)

    @property
    def strengths(self) -> str:
        """The strengths at which it is reported, as text; empty where it has none."""
        return "" if self.reported is None else self.reported.variant.value

    @property
    def is_optimistic(self) -> bool:
        """Whether it was chosen on the seed on which it is reported, the only one."""
        return self.reason == RULE and self.compared < 2 and self.possible > 1

    @property
    def possible(self) -> int:
        """How many strengths could be chosen."""
        return sum(tried.excluded is None for tried in self.tried)

    @property
    def budget(self) -> int:
        """How many strengths were tried, failed ones included."""
        return len(self.tried)

    @property
    def neighbours(self) -> tuple[Tried, ...]:
        """The strengths next to the one that was chosen: one, two, or none."""
        place = self._index
        if place is None:
            return ()
        return tuple(self.tried[i] for i in (place - 1, place + 1) if 0 <= i < self.budget)

    @property
    def end(self) -> str | None:
        """``weakest`` or ``strongest`` (``Dial.least``) where the choice is an end of several."""
        if self._index is None or self.budget < 2:
            return None
        return {0: self.dial.least, self.budget - 1: self.dial.most}.get(self._index)

    @property
    def open_end(self) -> str | None:
        """The same where the scale of the dial goes on: a better one may lie beyond it.

        An energy of 1 or a strength of 0 is the end of all that can be tried.
        """
        variant, end = self.variant, self.end
        if end is None or variant is None or variant.strength is None:
            return None
        last = variant.dial.highest if end == self.dial.most else variant.dial.lowest
        return None if variant.strength == last else end

    @property
    def _index(self) -> int | None:
        cells = [tried.cell for tried in self.tried]
        return None if self.cell is None else cells.index(self.cell)


def by_strategy(
    choices: Sequence[Choice], scenarios: Collection[str]
) -> dict[str, dict[str, Choice]]:
    """Return the choices in some scenarios, by strategy and scenario."""
    found: dict[str, dict[str, Choice]] = {}
    for choice in choices:
        if choice.scenario in scenarios:
            found.setdefault(choice.strategy, {})[choice.scenario] = choice
    return found


def why_missing(own: Mapping[str, Choice], scenarios: Sequence[str]) -> str | None:
    """Say why a strategy has no runs to report in some of the scenarios; ``None`` if it has all."""
    reasons = []
    for scenario in scenarios:
        choice = own.get(scenario)
        if choice is None or choice.reported is None:
            why = "no runs" if choice is None else choice.reason
            reasons.append(why if len(scenarios) == 1 else f"{scenario}: {why}")
    return "; ".join(reasons) or None


def budgets(choices: Sequence[Choice]) -> dict[str, int]:
    """Return how many strengths each strategy with a dial was given.

    Args:
        choices: Of one scenario. If their numbers differ, the comparison is unfair.
    """
    return {
        choice.strategy: choice.budget
        for choice in choices
        if any(tried.cell.variant.strength is not None for tried in choice.tried)
    }


def stands_for(choice: Choice, cell: Cell) -> int:
    """Return on how many seeds the strategy is reported with the runs of this strength."""
    shown = () if choice.reported is None else choice.reported.done
    own = {id(record) for record in cell.done}
    return sum(id(record) in own for record in shown)
