"""A memory of samples in which everything that was ever offered is equally likely to be."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Rows = dict[str, Tensor]
"""What is known of some samples, by name; row n of each tensor belongs to sample n."""


@dataclass
class Reservoir:
    """Algorithm R: a uniform sample of a stream whose length is not known.

    The first ``size`` samples fill the slots. Sample number t, counted from 0, draws a number j
    from 0 to t, and takes slot j if there is one. So after T >= size samples each of them is kept
    with the probability ``size / T``.

    A part of the stream can be forgotten. Then each later sample makes up for one that is gone, and
    takes its place if that had one, until all are made up for (random pairing). So of what is not
    forgotten, everything stays equally likely to be kept.

    Source: Vitter, Random Sampling with a Reservoir, ACM TOMS 1985, algorithm R; Gemulla, Lehner &
    Haas, A Dip in the Reservoir, VLDB 2006, section 3.

    Attributes:
        size: How many samples it holds, at most.
        generator: It draws what is kept, and what ``draw`` returns.
        seen: How many samples it was offered, but for those that made up for another.
        gone: How many were forgotten and not made up for.
        vacant: How many of these had a place.
        rows: What it holds; the rows from ``len`` on are room for more.
    """

    size: int
    generator: np.random.Generator
    seen: int = 0
    gone: int = 0
    vacant: int = 0
    rows: Rows = field(default_factory=dict)

    def __len__(self) -> int:
        return min(self.seen, self.size) - self.vacant

    def offer(self, rows: Rows) -> None:
        """Offer samples, one after another.

        Args:
            rows: The same names each time, with rows of the same shape and type.
        """
        count = len(next(iter(rows.values())))
        more = max(0, count - self.gone)
        chosen = self._slots(count)
        self.seen += more
        if chosen:
            slots, samples = torch.tensor([*chosen]), torch.tensor([*chosen.values()])
            for name, new in rows.items():
                kept = self._with_room(name, new)
                own = new.detach().index_select(0, samples.to(new.device))
                kept.index_copy_(0, slots.to(kept.device), own)

    def draw(self, count: int) -> Rows:
        """Return different samples, drawn uniformly: ``count`` of them, or all where it has fewer.

        Raises:
            ValueError: It is empty.
        """
        if not len(self):
            raise ValueError("nothing can be drawn from a reservoir that is empty")
        drawn = self.generator.choice(len(self), min(count, len(self)), replace=False)
        chosen = torch.from_numpy(drawn)
        return {n: kept.index_select(0, chosen.to(kept.device)) for n, kept in self.rows.items()}

    def forget(self, rows: Tensor, count: int) -> None:
        """Forget a part of the stream.

        Args:
            rows: Which rows of what it holds are of that part, bool (len,), on the CPU.
            count: How many samples that part had that were not forgotten before.
        """
        left = (~rows).nonzero().flatten()
        self.gone += count
        self.vacant += len(rows) - len(left)
        for name, kept in self.rows.items():
            self.rows[name] = kept.index_select(0, left.to(kept.device))

    def _slots(self, count: int) -> dict[int, int]:
        """Return which of the next samples are kept, by slot; of those for one slot the last."""
        filled: dict[int, int] = {}
        paired = min(count, self.gone)
        for n in range(paired):
            if self.generator.integers(self.gone) < self.vacant:
                filled[len(self)] = n
                self.vacant -= 1
            self.gone -= 1
        numbers = np.arange(self.seen, self.seen + count - paired)
        slots, late = numbers.copy(), numbers >= self.size
        slots[late] = self.generator.integers(0, numbers[late], endpoint=True)
        later = enumerate(slots.tolist(), paired)
        return filled | {slot: n for n, slot in later if slot < self.size}

    def _with_room(self, name: str, like: Tensor) -> Tensor:
        """Return what is held under a name, with a row for every slot that is in use."""
        kept = self.rows.get(name)
        before = 0 if kept is None else len(kept)
        if kept is None or before < len(self):
            more = min(self.size, max(len(self), 2 * before)) - before
            room = like.new_zeros(more, *like.shape[1:])
            kept = room if kept is None else torch.cat([kept, room])
            self.rows[name] = kept
        return kept
