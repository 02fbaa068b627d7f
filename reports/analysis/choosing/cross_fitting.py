"""The strength at which a strategy is reported: chosen on the validation split, of other seeds.

The choice never uses test results. ``figures/strengths.py`` shows afterwards, with the validation
scores, the test results of the other strengths.

Choosing on the validation split is not enough. Validation and test accuracy of a run rise and fall
together, so a strength that wins on some seeds was lucky with their test results, too. So seeds
are halved (in their order: the first, third, ... and the second, fourth, ...), and each half is
reported at the strength that was chosen on the other half: cross-fitting, as in
Chernozhukov et al., Double/Debiased Machine Learning, The Econometrics Journal 21 (2018). All
seeds count, and no run affects the strength at which it is reported itself.

The effect, for strengths that are equally good and a baseline that is as good as they are
(20,000 simulations; normal, correlation 0.9 of validation and test over seeds). Bias: of the
reported mean, in standard deviations over seeds. Better and worse: how often Student's paired test
finds a difference from the baseline, per cent on each side; the nominal rate is 2.5:

=====================  ======  ===================  ===================  ===================
chosen on              seeds   3 strengths          5 strengths          7 strengths
                               bias, better, worse  bias, better, worse  bias, better, worse
=====================  ======  ===================  ===================  ===================
all seeds, reported    5       0.34    5.4     0.5  0.47    6.9     0.3  0.55    8.3     0.2
on the same            20      0.17    5.7     0.3  0.24    7.9     0.1  0.27    10.1    0.0
all seeds but the one  5       0.00    3.6     3.6  0.00    4.1     4.2  0.00    4.1     4.2
that is reported       20      0.00    4.5     7.4  0.00    5.5     8.4  0.00    6.6     9.0
the other half         5       0.00    3.2     3.0  0.00    3.3     3.1  0.00    3.1     2.8
                       20      0.00    3.4     3.2  0.00    3.6     3.0  0.00    3.8     2.8
=====================  ======  ===================  ===================  ===================

Leaving out one seed removes the bias, but a strength that wins by luck still wins whichever seed
is left out, and the false alarms remain. Halves cost little: where neighbouring strengths differ
by a standard deviation over seeds, the mean is 0.25 of it below that of the best strength with 5
seeds and 0.10 with 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import fsum

from palimpsest.benchmark.metrics import ACCURACY, average_accuracy
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.choosing.choice import RULE, Choice, Mixed, Tried
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.statistics.interval import DIGITS, mean_estimate
from palimpsest.reports.wording.words import several


def choose(cells: Sequence[Cell]) -> list[Choice]:
    """Choose a strength for every strategy in every scenario, by ``choice.rule``.

    Each half of the seeds is reported at the strength that was chosen on the other half.
    """
    ordered = sorted(cells, key=lambda cell: cell.order)
    groups = groupby(ordered, key=lambda cell: (cell.scenario, cell.variant.strategy))
    return [_choice(_current(members)) for _, members in groups]


def _current(cells: Iterable[Cell]) -> Sequence[Cell]:
    """Without those that only earlier code ran; all where the newest code ran none."""
    found = tuple(cells)
    return tuple(cell for cell in found if cell.done or cell.failed) or found


def _choice(cells: Sequence[Cell]) -> Choice:
    scores = {cell: {r.seed: _validation(r) for r in cell.done} for cell in cells}
    excluded = {cell: _excluded(cell, found) for cell, found in scores.items()}
    possible = [scores[cell].keys() for cell, why in excluded.items() if why is None]
    shared = set.intersection(*map(set, possible)) if possible else set()
    tried = []
    for cell, why in excluded.items():
        values = {seed: score for seed, score in scores[cell].items() if why or seed in shared}
        tried.append(Tried(cell, mean_estimate({"": values}, ACCURACY), why))
    chosen, reason = _chosen(tried)
    reported = chosen
    if chosen is not None and reason == RULE:
        known = {
            cell: {seed: score for seed in sorted(shared) if (score := found[seed]) is not None}
            for cell, found in scores.items()
            if excluded[cell] is None
        }
        reported = _crossed(chosen, known)
    first = cells[0].variant
    name = cells[0].scenario, first.strategy, first.facts
    return Choice(*name, chosen, reported, reason, tuple(tried), len(shared))


def _crossed(chosen: Cell, scores: Mapping[Cell, Mapping[int, float]]) -> Cell:
    """Take each seed's run at the strength that was chosen on the other half of the seeds.

    A seed that some strength lacks took no part in the choice and is reported at the strength
    ``chosen`` on all seeds. Scores are those of the strengths that can be chosen, from weak to
    strong, of the same seeds.
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
    one = chosen.variant
    variant = Mixed(one.strategy, one.facts, None, one.place, tuple(parts))
    runs = tuple(done[seed] for seed in sorted(done))
    return Cell(chosen.scenario, variant, runs, (), (), chosen.place)


def _highest(scores: Iterable[float]) -> int:
    """Index of the highest score; of equal ones the first, which is the weakest strength."""
    known = [round(score, DIGITS) for score in scores]
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
        dial = dial_of([only.variant]).name
        return only, f"no {dial}" if only.variant.strength is None else f"one {dial} only"
    possible = [candidate for candidate in tried if candidate.excluded is None]
    scores = [candidate.validation.value for candidate in possible]
    known = [score for score in scores if score is not None]
    if known:  # then all have one: they are compared over the same seeds
        return possible[_highest(known)].cell, RULE
    return None, _why_none(tried, possible)


def _why_none(tried: Sequence[Tried], possible: Sequence[Tried]) -> str:
    """Say why no strength could be chosen."""
    dial = dial_of(candidate.cell.variant for candidate in tried)
    if possible:
        return f"the {dial.plural} have no seed in common"
    if any(candidate.validation.n for candidate in tried):
        return f"every {dial.name} has failed runs or runs without validation accuracies"
    done = [record for candidate in tried for record in candidate.cell.done]
    if any(record.moments and None in record.final_validation for record in done):
        return "no accuracies at the end to choose by: the last visit evaluates only some models"
    return "no validation accuracies to choose by: the scenario has no validation split"


def _validation(record: Record) -> float | None:
    return average_accuracy(record.final_validation) if record.final_validation else None
