"""The batches of a search: one sequence, of which every visit takes the next ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import Inputs
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.search.plan import SearchPlan
from palimpsest.benchmark.training.template import Batches


class Consecutive(Batches):
    """Consecutive batches of passes over the data.

    Batch k is number ``k mod n`` of pass ``k div n``, where a pass has n batches.

    Args:
        tensors: Inputs (N, ...), targets (N, ...) and the task label.
        batch_size: Samples of a batch; the last one of a pass may have fewer.
        steps: How many batches.
        first: The number of the first one.
        seed: The run's seed: each pass is a shuffle of its own. ``None``: all are in order.
        width: How often a batch is repeated, with the task labels that follow its own.
    """

    def __init__(
        self,
        tensors: tuple[Inputs, Tensor, int | Tensor],
        batch_size: int,
        steps: int,
        first: int = 0,
        seed: int | None = 0,
        width: int = 1,
    ) -> None:
        super().__init__(tensors, batch_size, steps)
        self._first = first
        self._run_seed = seed
        self._width = width

    def __iter__(self) -> Iterator[list[Any]]:
        x, y, task = self.tensors
        assert isinstance(task, int)
        a_pass = -(-len(x) // self.batch_size)
        known, order = -1, torch.empty(0)
        for k in range(self._first + self.skipped, self._first + len(self)):
            number, batch = divmod(k, a_pass)
            if number != known:
                known, order = number, self._order(number, len(x)).to(x.device)
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            label: int | Tensor = task
            if self._width > 1:
                labels = torch.arange(task, task + self._width, device=x.device)
                label = labels.repeat_interleave(len(chosen))
                chosen = chosen.repeat(self._width)
            self.chosen = chosen
            yield [x[chosen], y[chosen], label]

    def _order(self, number: int, samples: int) -> Tensor:
        if self._run_seed is None:
            return torch.arange(samples)
        seed = derive(self._run_seed, "order", number)
        return torch.randperm(samples, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class SearchOrder:
    """Gives each training of a search its batches, by the run's seed."""

    search: SearchPlan
    seed: int

    def __call__(
        self, samples: tuple[Inputs, Tensor, int | Tensor], batch_size: int, training: int
    ) -> Consecutive:
        """Return the batches of a training, by its number."""
        search = self.search
        warm = search.moment_of(training).epoch is None
        return Consecutive(
            samples,
            batch_size,
            search.warm_steps if warm else search.batches,
            search.first_batch_of(training),
            self.seed if search.columns is None else None,
            1 if warm else search.width,
        )
