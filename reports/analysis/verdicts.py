"""Whether a strategy is better than a baseline, the same, worse, or undetermined.

A verdict follows from the 95 % interval of the paired difference in average accuracy, which is
shown with it: *better* or *worse* where all of it lies on one side of zero, *the same* where all
of it lies within ``NEGLIGIBLE``, and *undetermined* otherwise, or where there are too few seeds for
an interval. Strategies whose runs are bit-identical share a row. The upper bounds, joint training
and independent models, do not compete: they come last and are not judged.

Verdicts are not corrected for their number. Of strategies that are as good as the baseline, 6 to
7 % are called better or worse, with 5, 10 or 20 seeds (``cross_fitting.py``, where strengths are
chosen on the other half of the seeds); in a table of ten about every second has one. The ranking
has the corrected test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from palimpsest.benchmark.metrics import AVERAGE, NEGLIGIBLE
from palimpsest.benchmark.runs.record import BASELINE, Facts
from palimpsest.reports.analysis.choosing.choice import (
    Choice,
    by_strategy,
    why_missing,
)
from palimpsest.reports.analysis.choosing.coarseness import gaps
from palimpsest.reports.analysis.measures import Means, measure
from palimpsest.reports.analysis.remarks.breakdown import Breakdown, breakdowns
from palimpsest.reports.analysis.remarks.coincidence import twins
from palimpsest.reports.runs.cells import Cell, by_scenario
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.statistics.pairs import paired_difference
from palimpsest.reports.wording.words import several

SIDES = ("stability", "learning_accuracy")


class Verdict(StrEnum):
    """How a strategy compares with a baseline."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    UNDETERMINED = "undetermined"
    BOUND = "a bound"


@dataclass(frozen=True)
class Judgement:
    """A strategy compared with a baseline.

    Attributes:
        verdict: What it is; ``None`` of the baseline itself.
    """

    verdict: Verdict | None
    difference: Estimate
    stability: Estimate
    learning_accuracy: Estimate


@dataclass(frozen=True, eq=False)
class Contender:
    """Strategies that are one computation, in one scenario or in several.

    Attributes:
        at: The strengths at which it is reported, in words; empty where it has none.
        marks: What weakens its numbers, in few words each.
        reason: Why there is nothing to judge; ``None`` where there is.
    """

    strategies: tuple[str, ...]
    facts: tuple[Facts, ...]
    at: str
    average: Estimate
    marks: tuple[str, ...]
    reason: str | None

    @property
    def name(self) -> str:
        """``ewc = wpl``."""
        return " = ".join(self.strategies)

    @property
    def competes(self) -> bool:
        """Whether it is judged; ``False`` for what is an upper bound and nothing else."""
        return any(not facts.is_bound for facts in self.facts)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """All contenders, and each compared with every other.

    Attributes:
        contenders: From the best average accuracy to the worst, those without one last; after
            them the upper bounds, likewise.
        judgements: By the places of a contender and of its baseline, of those with runs.
        baseline: The place of fine-tuning, or else of the first with runs; ``None`` without any.
    """

    scenarios: tuple[str, ...]
    contenders: tuple[Contender, ...]
    judgements: Mapping[tuple[int, int], Judgement]
    baseline: int | None

    @property
    def reference(self) -> str:
        """The name of what others are compared with: fine-tuning's where several are the same."""
        if self.baseline is None:
            return ""
        one = self.contenders[self.baseline]
        roles = [facts.role for facts in one.facts]
        return one.strategies[roles.index(BASELINE) if BASELINE in roles else 0]


def verdicts(choices: Sequence[Choice], cells: Sequence[Cell]) -> list[Verdicts]:
    """Judge all strategies of each scenario, then of all scenarios together.

    Over several scenarios those stand that have runs in each. The order of the scenarios is that
    of the choices.

    Args:
        choices: What ``cross_fitting.choose`` returned.
        cells: All of a report.
    """
    names = tuple(dict.fromkeys(choice.scenario for choice in choices))
    spans = [(name,) for name in names] + ([names] if len(names) > 1 else [])
    members = by_scenario(cells)
    losses = {name: breakdowns(own) for name, own in members.items()}
    marks = {
        (c.scenario, c.strategy): tuple(_marks(c, members[c.scenario], losses[c.scenario]))
        for c in choices
    }
    return [_verdicts(span, choices, marks) for span in spans]


def judged(difference: Estimate) -> Verdict:
    """Return the verdict of a difference in accuracy, a fraction."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Verdict.UNDETERMINED
    if low > 0:
        return Verdict.BETTER
    if high < 0:
        return Verdict.WORSE
    within = low >= -NEGLIGIBLE and high <= NEGLIGIBLE
    return Verdict.SAME if within else Verdict.UNDETERMINED


_Marks = Mapping[tuple[str, str], tuple[str, ...]]
"""What weakens the numbers of a strategy, by scenario and strategy."""


def _verdicts(scenarios: tuple[str, ...], choices: Sequence[Choice], marks: _Marks) -> Verdicts:
    own = by_strategy(choices, scenarios)
    reasons = {name: why_missing(found, scenarios) for name, found in own.items()}
    runs = {
        name: {scenario: own[name][scenario].reported for scenario in scenarios}
        for name, reason in reasons.items()
        if reason is None
    }
    groups = [tuple(sorted(g)) for g in twins({n: [*found.values()] for n, found in runs.items()})]
    alone = [(name,) for name, reason in reasons.items() if reason is not None]
    found = [
        _contender(names, [own[name] for name in names], scenarios, marks, reasons[names[0]])
        for names in (*groups, *alone)
    ]
    found.sort(key=_order)
    placed = {
        place: [measure(runs[one.strategies[0]], metric) for metric in (AVERAGE, *SIDES)]
        for place, one in enumerate(found)
        if one.reason is None
    }
    judgements = {
        (one, other): _judgement(
            placed[one], placed[other], itself=one == other, competes=found[one].competes
        )
        for one in placed
        for other in placed
    }
    plain = [p for p in placed if any(facts.role == BASELINE for facts in found[p].facts)]
    return Verdicts(scenarios, tuple(found), judgements, next(iter([*plain, *placed]), None))


def _order(one: Contender) -> tuple[bool, bool, float, str]:
    return not one.competes, one.average.value is None, -(one.average.value or 0.0), one.name


def _judgement(
    ours: Sequence[object], theirs: Sequence[object], *, itself: bool, competes: bool
) -> Judgement:
    difference, stability, learning_accuracy = (
        paired_difference(a.values, b.values, a.bounds.of_difference)
        for a, b in zip(ours, theirs, strict=True)
        if isinstance(a, Means) and isinstance(b, Means)
    )
    verdict = judged(difference) if competes else Verdict.BOUND
    return Judgement(None if itself else verdict, difference, stability, learning_accuracy)


def _contender(
    names: tuple[str, ...],
    own: Sequence[Mapping[str, Choice]],
    scenarios: tuple[str, ...],
    marks: _Marks,
    reason: str | None,
) -> Contender:
    first = own[0]
    reported = {s: first[s].reported if s in first else None for s in scenarios}
    facts = tuple(next(iter(each.values())).facts for each in own)
    average = measure(reported, AVERAGE).estimate()
    at = ""
    if len(scenarios) == 1 and (cell := reported[scenarios[0]]) is not None:
        at = cell.variant.value
    marked: dict[str, list[str]] = {}
    for scenario, name in ((s, n) for n in names for s in scenarios):
        for mark in marks.get((scenario, name), ()):
            marked.setdefault(mark, []).append(scenario)
    written = [
        mark if len(scenarios) == 1 else f"{mark} in {_counted({*where})}"
        for mark, where in marked.items()
    ]
    return Contender(names, facts, at, average, tuple(written), reason)


def _counted(scenarios: Collection[str]) -> str:
    return next(iter(scenarios)) if len(scenarios) == 1 else several(len(scenarios), "scenario")


def _marks(choice: Choice, members: Sequence[Cell], losses: Sequence[Breakdown]) -> Iterator[str]:
    """Say what weakens a strategy's numbers, among all cells of its scenario."""
    if choice.open_end is not None and choice.variant is not None:
        yield f"the {choice.open_end} {choice.variant.dial.name} tried"
    elif gaps(choice):  # at an end of the grid, the mark above says more
        yield "coarse grid"
    if choice.is_optimistic:
        yield "chosen on its only seed"
    own = [cell for cell in members if cell.variant.strategy == choice.strategy]
    failed = sum(len(cell.failed) for cell in own)
    if failed:
        yield f"{failed} of {several(failed + sum(len(c.done) for c in own), 'run')} failed"
    if choice.reported is not None and (far := choice.reported.interval(AVERAGE).strays):
        yield f"{far.count} of {several(len(choice.reported.done), 'run')} far from the others"
    for loss in losses:
        if loss.variant.strategy == choice.strategy and loss.broken:
            setting = f" at {loss.variant.setting}" if loss.variant.setting else ""
            yield f"{len(loss.broken)} of {several(loss.seeds, 'run')} collapsed{setting}"
