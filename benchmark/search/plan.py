"""The plan of a search: in which order and in which slots architectures are visited.

Importing this needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from palimpsest.benchmark.scenarios.schedule import Schedule, Visit, alternating

if TYPE_CHECKING:
    from palimpsest.benchmark.search.samplers import Sampler


@dataclass(frozen=True)
class Moment:
    """The place of a training in a search.

    Attributes:
        epoch: Counted from 0; ``None``: a warm-start.
        visit: In the epoch, counted from 0.
    """

    epoch: int | None
    visit: int


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a search, from the settings of its family.

    A training of the run is a visit: of one architecture, or of several whose gradients are summed
    (``width``). Visits that are measured have slots of their own until the epoch ends. The others
    take turns in one more group of ``width`` slots.

    Attributes:
        sampler: Draws the architectures.
        epochs: The number of epochs.
        visits: The visits of an epoch.
        batches: The batches of a visit.
        warm_start: Epochs before the first one, as one training, without the strategy.
        shared: Whether all architectures share one supernet; otherwise there is one epoch, in
            which each is trained once, from the same weights and on the same batches.
        width: Architectures of a visit.
        measured: Which visits of an epoch are measured, in order.
        ranked: How many architectures are ranked at the end; ``None``: all of the space.
        columns: Of text: the windows of a batch, which continue those of the batch before; errors
            are perplexities. ``None``: batches are shuffled, errors are error rates.
        decay: What the learning rate is multiplied by after each epoch.
        decay_after: Epochs before the first decay.
        cut: What the learning rate is multiplied by when the warm-start is over.
    """

    sampler: Sampler
    epochs: int
    visits: int
    batches: int
    warm_start: int
    shared: bool
    width: int
    measured: tuple[int, ...]
    ranked: int | None
    columns: int | None
    decay: float = 1.0
    decay_after: int = 0
    cut: float = 1.0

    @property
    def perplexity(self) -> bool:
        """Whether errors are perplexities, in place of error rates."""
        return self.columns is not None

    @property
    def slots(self) -> int:
        """The number of slots."""
        return self.width * (len(self.measured) + (len(self.measured) < self.visits))

    def slot_of(self, visit: int) -> int:
        """Return the first slot of a visit of an epoch."""
        group = self.measured.index(visit) if visit in self.measured else len(self.measured)
        return self.width * group

    @property
    def warm_steps(self) -> int:
        """The steps of the warm-start."""
        return self.warm_start * self.visits * self.batches

    def moment_of(self, training: int) -> Moment:
        """Return the place of a training in the search, by its number."""
        visit = training - bool(self.warm_start)
        return Moment(None, 0) if visit < 0 else Moment(*divmod(visit, self.visits))

    def first_batch_of(self, training: int) -> int:
        """Return the number of batches before a training."""
        if not self.shared or training == 0:
            return 0
        return self.warm_steps + self.batches * (training - bool(self.warm_start))

    def rate_of(self, training: int) -> float:
        """Return the learning rate of a training, as a share of the first one's.

        ``cut * decay ^ max(0, e - decay_after)`` in epoch e, counted from 0; 1 in a warm-start.
        """
        epoch = self.moment_of(training).epoch
        if epoch is None:
            return 1.0
        return float(self.cut * self.decay ** max(0, epoch - self.decay_after))

    def seed_number(self, training: int) -> int:
        """Return the number of a training's seed: architectures alone all have the first."""
        return training if self.shared else 0

    def schedule(self) -> Schedule:
        """Return the trainings; after the last one every slot is evaluated."""
        visits = [Visit((0,), self.warm_steps, plain=True)] if self.warm_start else []
        epoch = [Visit((self.slot_of(visit),), self.batches) for visit in range(self.visits)]
        visits += epoch * self.epochs
        last = visits.pop()
        everyone = tuple(range(self.slots))
        return alternating([*visits, Visit(last.models, last.steps, everyone)])


def spread(count: int | None, of: int) -> tuple[int, ...]:
    """Return ``count`` numbers below ``of``, spread evenly; all of them for ``None``.

    They are ``(2 i + 1) of / (2 count)``, rounded down, for i < count.
    """
    count = of if count is None else min(count, of)
    return tuple((2 * i + 1) * of // (2 * count) for i in range(count))
