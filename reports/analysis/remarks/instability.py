"""Unstable training: seeds on which a new model learns far less than on the others.

Losses from unstable training look like forgetting, and a strategy that stabilises training looks
like one that protects. So the report names the worst seed of the new models,
not of the earlier ones. ``reports/statistics/collapse.py`` defines "far less".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from palimpsest.benchmark.runs.record import BASELINE
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.collapse import strays
from palimpsest.reports.wording.numbers import percent
from palimpsest.reports.wording.words import several


@dataclass(frozen=True)
class Instability:
    """A new model that some seeds did not learn.

    Attributes:
        worst: The model's accuracy on that seed just after its own training, a fraction.
        median: Its median accuracy over seeds, likewise.
    """

    model: int
    count: int
    seeds: int
    seed: int
    worst: float
    median: float


def instability(cell: Cell) -> Instability | None:
    """Return the new model with seeds far below the others whose worst one is furthest below.

    The accuracies compared are each new model's just after its own training, ``R[i][i]``, i >= 1.

    Returns:
        ``None`` where no seeds are far below the others, see ``collapse.strays``.
    """
    found = []
    for model in range(1, len(cell.done[0].accuracy_matrix) if cell.done else 0):
        reached = [(r.accuracy_matrix[model][model], r.seed) for r in cell.done]
        learned = [(accuracy, seed) for accuracy, seed in reached if accuracy is not None]
        accuracies = [accuracy for accuracy, _ in learned]
        far = strays(accuracies)
        if far is not None and far.below:
            worst, seed = min(learned)
            middle = median(accuracies)
            found.append(Instability(model, far.count, len(learned), seed, worst, middle))
    return max(found, key=lambda one: one.median - one.worst, default=None)


def last_is_unstable(cell: Cell) -> bool:
    """Whether some seeds of the last model are far below the others, or some runs failed."""
    reached = [record.accuracy_matrix[-1][-1] for record in cell.done]
    far = strays([accuracy for accuracy in reached if accuracy is not None])
    return bool(cell.failed) or (far is not None and far.below)


def instability_sentences(done: Sequence[Cell]) -> Iterator[str]:
    """Say where training is unstable in one scenario."""
    for cell in done:
        found = instability(cell)
        if found is None:
            continue
        seeds = (
            f"{found.count} of {several(found.seeds, 'seed')} of model {found.model + 1} far below "
            f"the others, the worst at {percent(found.worst)} % with seed {found.seed}, median "
            f"{percent(found.median)} %"
        )
        if cell.variant.role == BASELINE:
            yield (
                f"training itself is unstable ({seeds}): what looks like forgetting may be "
                "instability, and a strategy that protects acts as a stabiliser."
            )
        else:
            yield f"training with {cell.variant.label} is unstable ({seeds})."
