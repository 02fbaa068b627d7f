"""Training that does not hold: a seed of a new model that learns far less than the others.

What an unstable training loses looks like forgetting, and whatever steadies it looks like
protection. So the report names the worst seed of the new models, not of the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from reports.cells import FINETUNE, Cell
from reports.formatting import percent

UNSTABLE = 0.2
"""How far the worst seed of a new model may stay below the median one."""


@dataclass(frozen=True)
class Instability:
    """A new model that one seed did not learn.

    Attributes:
        model: Which model, counted from 0.
        seed: The worst seed.
        worst: What the model reaches there when it has just learned, a fraction.
        median: What it reaches with the median seed.
    """

    model: int
    seed: int
    worst: float
    median: float


def instability(cell: Cell) -> Instability | None:
    """Return the new model whose worst seed is furthest below its median one.

    Compared is each new model's accuracy when it has just learned, ``R[i][i]`` for i >= 1.

    Args:
        cell: The runs of one variant.

    Returns:
        ``None`` where no worst seed is more than ``UNSTABLE`` below the median.
    """
    found = []
    for model in range(1, len(cell.done[0].accuracy_matrix) if cell.done else 0):
        reached = [(r.accuracy_matrix[model][model], r.seed) for r in cell.done]
        learned = [(accuracy, seed) for accuracy, seed in reached if accuracy is not None]
        if learned:
            (worst, seed), middle = min(learned), median(accuracy for accuracy, _ in learned)
            found.append(Instability(model, seed, worst, middle))
    widest = max(found, key=lambda one: one.median - one.worst, default=None)
    if widest is None or widest.median - widest.worst <= UNSTABLE:
        return None
    return widest


def instability_sentences(done: Sequence[Cell]) -> Iterator[str]:
    """Say where training is unstable in one scenario.

    Args:
        done: The cells of the scenario that have finished runs.
    """
    for cell in done:
        found = instability(cell)
        if found is None:
            continue
        seeds = (
            f"worst seed of model {found.model}: {percent(found.worst)} % with seed {found.seed}, "
            f"median {percent(found.median)} %"
        )
        if cell.variant.kind == FINETUNE:
            yield (
                f"training itself is unstable ({seeds}): what looks like forgetting may be "
                "instability, and a strategy that protects acts as a stabiliser."
            )
        else:
            yield f"training with {cell.variant.label} is unstable ({seeds})."
