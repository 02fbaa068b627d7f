"""One strength for each strategy and scenario, chosen on the validation split only.

Test results stand in no rule here. ``sensitivity`` puts them beside the validation scores
after the choice, to show what another strength would have given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from benchmark.metrics import average_accuracy
from benchmark.store import Record
from reports.bootstrap import Estimate, mean_estimate
from reports.cells import Cell, Variant
from reports.formatting import several
from reports.statistics import ACCURACY, limits_of

RULE = (
    "the strength with the highest average accuracy of all models at the end on the validation "
    "split, mean over the seeds that all strengths have; of equal ones the weakest; strengths "
    "with failed runs are left out"
)
VALIDATION = "validation_accuracy"
SHOWN = ("average_accuracy", "stability", "learning_accuracy", "forgetting_reduction")
"""Test metrics that are shown beside the validation score."""

_DIGITS = 12  # scores that differ by less than rounding are equal


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
        cell: The runs of the strength that was chosen, ``None`` where none could be.
        reason: The rule, or why there was nothing to choose, in words.
        tried: Every strength, from weak to strong.
    """

    scenario: str
    strategy: str
    kind: str
    cell: Cell | None
    reason: str
    tried: tuple[Tried, ...]

    @property
    def variant(self) -> Variant | None:
        """The strategy at the strength that was chosen."""
        return None if self.cell is None else self.cell.variant

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


def sensitivity(choice: Choice) -> pd.DataFrame:
    """Return how scores depend on the strength: one row a strength and metric.

    Columns: strength, metric (``VALIDATION`` or one of ``SHOWN`` that some run has), mean, low,
    high, n, chosen (this strength was), excluded (why it could not be, else ``None``).
    """
    rows = [
        (tried.cell.variant.strength, metric, found.value, found.low, found.high, found.n,
         tried.cell is choice.cell, tried.excluded)
        for tried in choice.tried
        for metric, found in _scores(tried)
    ]  # fmt: skip
    columns = ["strength", "metric", "mean", "low", "high", "n", "chosen", "excluded"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(("strength", "mean", "low", "high"), float))


def _choice(cells: Sequence[Cell]) -> Choice:
    scores = [{record.seed: _validation(record) for record in cell.done} for cell in cells]
    excluded = [_excluded(cell, found) for cell, found in zip(cells, scores, strict=True)]
    possible = [found.keys() for found, why in zip(scores, excluded, strict=True) if why is None]
    shared = set.intersection(*map(set, possible)) if possible else set()
    tried = []
    for cell, found, why in zip(cells, scores, excluded, strict=True):
        values = [score for seed, score in found.items() if why or seed in shared]
        tried.append(Tried(cell, mean_estimate({"": values}, ACCURACY), why))
    chosen, reason = _chosen(tried)
    variant = cells[0].variant
    kind = variant.kind
    return Choice(cells[0].scenario, variant.strategy, kind, chosen, reason, tuple(tried))


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
    known = [round(score, _DIGITS) for score in scores if score is not None]
    if known:  # all have a score then: they are compared over the same seeds
        return possible[known.index(max(known))].cell, RULE  # the first of equal ones: weakest
    if possible:
        return None, "the strengths have no seed in common"
    if not any(candidate.validation.n for candidate in tried):
        return None, "no validation accuracies to choose by: the scenario has no validation split"
    return None, "every strength has failed runs or runs without validation accuracies"


def _validation(record: Record) -> float | None:
    return average_accuracy(record.validation_matrix) if record.validation_matrix else None


def _scores(tried: Tried) -> Iterator[tuple[str, Estimate]]:
    yield VALIDATION, tried.validation
    done = tried.cell.done
    for metric in SHOWN:
        values = [record.metrics.get(metric) for record in done]
        if any(value is not None for value in values):
            yield metric, mean_estimate({"": values}, limits_of(metric))
