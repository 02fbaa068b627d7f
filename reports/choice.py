"""The strength at which a strategy is reported: chosen on the validation split, of other seeds.

Test results stand in no rule here. ``reports/sensitivity.py`` puts them beside the validation
scores after the choice, to show what another strength would have given.

Choosing on the validation split is not enough. Validation and test accuracy of one run go up and
down together, so that the strength that wins on some seeds has been lucky with their test results,
too. So seeds are halved (in their order, the first, third, ... and the second, fourth, ...), and
each half is reported at the strength that was chosen on the other one: cross-fitting, as of
Chernozhukov et al., Double/Debiased Machine Learning, The Econometrics Journal 21 (2018). All
seeds count, and no run decides about itself.

What that is worth, for strengths that are equally good and a baseline that is as good as they are
(20,000 simulations; normal, correlation 0.9 of validation and test over seeds). Bias: of the
reported mean, in standard deviations over seeds. Better and worse: how often Student's paired test
finds a difference from the baseline, per cent on each side, where 2.5 are promised:

=====================  ======  ===================  ===================  ===================
chosen on              seeds   3 strengths          5 strengths          7 strengths
                               bias, better, worse  bias, better, worse  bias, better, worse
=====================  ======  ===================  ===================  ===================
all seeds, reported    5       0.34    5.4     0.5  0.47    6.9     0.3  0.55    8.3     0.2
on the same            10      0.24    5.7     0.4  0.33    7.5     0.1  0.39    9.6     0.1
                       20      0.17    5.7     0.3  0.24    7.9     0.1  0.27    10.1    0.0
all seeds but the one  5       0.00    3.6     3.6  0.00    4.1     4.2  0.00    4.1     4.2
that is reported       10      0.00    4.2     5.2  0.00    4.7     5.5  0.00    5.4     6.2
                       20      0.00    4.5     7.4  0.00    5.5     8.4  0.00    6.6     9.0
the other half         5       0.00    3.2     3.0  0.00    3.3     3.1  0.00    3.1     2.8
                       10      0.00    3.5     3.1  0.00    3.7     3.0  0.00    3.6     2.7
                       20      0.00    3.4     3.2  0.00    3.6     3.0  0.00    3.8     2.8
=====================  ======  ===================  ===================  ===================

Leaving out one seed removes the bias, but where a strength wins by luck it still wins on nearly
all seeds but one, and the test is as sure as before. Halves cost little: where neighbouring
strengths differ by a standard deviation over seeds, the mean is 0.25 of it below that of the best
strength with 5 seeds and 0.10 with 10 (leaving out one: 0.14 and 0.03); where they differ by 0.1,
0.11 and 0.10 (0.10 and 0.10). Against a baseline without any spread of its own the test finds 4.1
to 5.3 % better (choosing on all seeds 6.3 to 14, leaving out one 4.7 to 10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum

from benchmark.metrics import average_accuracy
from benchmark.store import Record
from reports.bootstrap import Estimate, mean_estimate
from reports.cells import Cell, Variant, strength_text
from reports.formatting import several
from reports.statistics import ACCURACY

RULE = (
    "the strength with the highest average accuracy of all models at the end on the validation "
    "split, mean over the seeds that all strengths have; of equal ones the weakest; strengths "
    "with failed runs are left out"
)
CROSSED = "each half of the seeds is reported at the strength that was chosen on the other half"

_DIGITS = 12  # scores that differ by less than rounding are equal


@dataclass(frozen=True)
class Mixed(Variant):
    """A strategy whose seeds are reported at more than one strength.

    Attributes:
        parts: The strengths, the one of most seeds first, each with its number of seeds.
    """

    parts: tuple[tuple[float, int], ...] = ()

    @property
    def label(self) -> str:
        """``wpl, strength 1e3 (3 of 5 seeds), 1e4 (2)``."""
        return f"{self.strategy}, strength {self.strengths}"

    @property
    def strengths(self) -> str:
        """``1e3 (3 of 5 seeds), 1e4 (2)``."""
        total = several(sum(count for _, count in self.parts), "seed")
        (first, count), *rest = self.parts
        others = [f", {strength_text(strength)} ({n})" for strength, n in rest]
        return f"{strength_text(first)} ({count} of {total}){''.join(others)}"


@dataclass(frozen=True, eq=False)
class Tried:
    """One strength that was tried.

    Attributes:
        cell: Its runs.
        validation: Its score: average validation accuracy of all models at the end, mean over
            the seeds that are compared (all it has where it is excluded).
        excluded: Why it cannot be chosen, ``None`` where it can.
    """

    cell: Cell
    validation: Estimate
    excluded: str | None


@dataclass(frozen=True, eq=False)
class Choice:
    """Which strength stands for a strategy in one scenario.

    Attributes:
        scenario: The scenario's name.
        strategy: The strategy's name.
        kind: Its kind.
        cell: The runs of the strength that was chosen on all seeds, ``None`` where none could be:
            what to use next time.
        reported: The runs that stand for the strategy in every number: each seed's at the strength
            that was chosen on the other half of the seeds. ``cell`` itself where both halves agree;
            else its variant is ``Mixed``. ``None`` where ``cell`` is.
        reason: The rule, or why there was nothing to choose, in words.
        tried: Every strength, from weak to strong.
        compared: On how many seeds the strengths were compared. With one there is no other half:
            it is reported at the strength that was chosen on it.
    """

    scenario: str
    strategy: str
    kind: str
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
    def strengths(self) -> str:
        """The strengths at which it is reported, in words; empty where it has none."""
        return "" if self.reported is None else strengths_text(self.reported.variant)

    @property
    def flatters(self) -> bool:
        """Whether it was chosen on the seed on which it is reported: there is one only."""
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
        place = self._place
        if place is None:
            return ()
        return tuple(self.tried[i] for i in (place - 1, place + 1) if 0 <= i < self.budget)

    @property
    def end(self) -> str | None:
        """``weakest`` or ``strongest`` where the choice is an end of several strengths.

        A better one may lie beyond: the grid should be wider.
        """
        if self._place is None or self.budget < 2:
            return None
        return {0: "weakest", self.budget - 1: "strongest"}.get(self._place)

    @property
    def _place(self) -> int | None:
        cells = [tried.cell for tried in self.tried]
        return None if self.cell is None else cells.index(self.cell)


def choose(cells: Sequence[Cell]) -> list[Choice]:
    """Choose a strength for every strategy in every scenario, by ``RULE``.

    Each half of the seeds is reported at the strength that was chosen on the other half.

    Args:
        cells: As ``cells.group`` orders them: by scenario and variant.
    """
    ordered = sorted(cells, key=lambda cell: (cell.scenario, cell.variant.order))
    groups = groupby(ordered, key=lambda cell: (cell.scenario, cell.variant.strategy))
    return [_choice(tuple(members)) for _, members in groups]


def budgets(choices: Sequence[Choice]) -> dict[str, int]:
    """Return how many strengths each strategy with a dial was given.

    Args:
        choices: Of one scenario. More than one number among them: an unfair comparison.
    """
    return {
        choice.strategy: choice.budget
        for choice in choices
        if any(tried.cell.variant.strength is not None for tried in choice.tried)
    }


def strengths_text(variant: Variant) -> str:
    """Write the strength of a variant, or those of its seeds; empty where it has none."""
    if isinstance(variant, Mixed):
        return variant.strengths
    return "" if variant.strength is None else strength_text(variant.strength)


def stands_for(choice: Choice, cell: Cell) -> int:
    """Return of how many seeds the runs of a strength stand for the strategy."""
    shown = () if choice.reported is None else choice.reported.done
    own = {id(record) for record in cell.done}
    return sum(id(record) in own for record in shown)


def _choice(cells: Sequence[Cell]) -> Choice:
    scores = [{record.seed: _validation(record) for record in cell.done} for cell in cells]
    excluded = [_excluded(cell, found) for cell, found in zip(cells, scores, strict=True)]
    possible = [found.keys() for found, why in zip(scores, excluded, strict=True) if why is None]
    shared = set.intersection(*map(set, possible)) if possible else set()
    tried = []
    for cell, found, why in zip(cells, scores, excluded, strict=True):
        values = {seed: score for seed, score in found.items() if why or seed in shared}
        tried.append(Tried(cell, mean_estimate({"": values}, ACCURACY), why))
    chosen, reason = _chosen(tried)
    reported = chosen
    if chosen is not None and reason == RULE:
        known = {
            cell: {seed: score for seed in sorted(shared) if (score := found[seed]) is not None}
            for cell, found, why in zip(cells, scores, excluded, strict=True)
            if why is None
        }
        reported = _crossed(chosen, known)
    variant = cells[0].variant
    return Choice(
        cells[0].scenario, variant.strategy, variant.kind, chosen, reported, reason, tuple(tried),
        len(shared),
    )  # fmt: skip


def _crossed(chosen: Cell, scores: Mapping[Cell, Mapping[int, float]]) -> Cell:
    """Take each seed's run at the strength that was chosen on the other half of the seeds.

    Args:
        chosen: What was chosen on all seeds. A seed that some strength lacks had no part in it
            and is reported there.
        scores: Of the strengths that can be chosen, from weak to strong, by seed: the same seeds.
    """
    seeds = sorted(scores[chosen])
    picked = dict.fromkeys(seeds, chosen)
    for own, others in ((seeds[::2], seeds[1::2]), (seeds[1::2], seeds[::2])):
        if own and others:
            best = _highest(fsum(found[seed] for seed in others) for found in scores.values())
            picked |= dict.fromkeys(own, list(scores)[best])
    if set(picked.values()) == {chosen}:
        return chosen
    done = {record.seed: record for record in chosen.done}
    for seed, cell in picked.items():
        done[seed] = next(record for record in cell.done if record.seed == seed)
    counts = Counter(done[seed].strength or 0.0 for seed in done)
    parts = sorted(counts.items(), key=lambda part: (-part[1], part[0]))
    variant = Mixed(chosen.variant.strategy, chosen.variant.kind, None, tuple(parts))
    return Cell(chosen.scenario, variant, tuple(done[seed] for seed in sorted(done)), (), ())


def _highest(scores: Iterable[float]) -> int:
    """Place of the highest score; of equal ones the first, which is the weakest strength."""
    known = [round(score, _DIGITS) for score in scores]
    return known.index(max(known))


def _excluded(cell: Cell, scores: Mapping[int, float | None]) -> str | None:
    failed = {record.seed for record in cell.failed} - scores.keys()
    if failed:
        return f"{several(len(failed), 'run')} failed"
    return "no validation accuracies" if None in scores.values() else None


def _chosen(tried: Sequence[Tried]) -> tuple[Cell | None, str]:
    if not any(candidate.cell.done for candidate in tried):
        return None, "no run finished"
    if len(tried) == 1:
        only = tried[0].cell
        return only, "no strength" if only.variant.strength is None else "one strength only"
    possible = [candidate for candidate in tried if candidate.excluded is None]
    scores = [candidate.validation.value for candidate in possible]
    known = [score for score in scores if score is not None]
    if known:  # all have a score then: they are compared over the same seeds
        return possible[_highest(known)].cell, RULE
    if possible:
        return None, "the strengths have no seed in common"
    if not any(candidate.validation.n for candidate in tried):
        return None, "no validation accuracies to choose by: the scenario has no validation split"
    return None, "every strength has failed runs or runs without validation accuracies"


def _validation(record: Record) -> float | None:
    return average_accuracy(record.validation_matrix) if record.validation_matrix else None
