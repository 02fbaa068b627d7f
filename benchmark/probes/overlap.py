"""Whether models need the same rows of the layers that they share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from palimpsest.benchmark.probes.base.information import information_of
from palimpsest.benchmark.probes.base.probe import Probe
from palimpsest.strategies.masks.output_rows import held_rows, output_axes, row_sums

SHARE = 0.3
"""The share of a weight's rows that count as the most important ones."""


class Overlap(Probe):
    """Whether the rows that matter most to a model mattered most to an earlier one.

    A row is all weights that lead to one output of a layer. Its score is the sum of its exact
    diagonal Fisher information on the model's training data, at most 1,000 samples, right after its
    training. The ``SHARE`` of each weight's rows with the highest scores matter most. For each
    later ``model``, ``earlier`` model and shared ``block``, ``jaccard`` is the number of such rows
    that both have, divided by the number that either has. ``block`` is ``None`` for all shared
    blocks together. Random sets have ``SHARE / (2 - SHARE)``, 0.176.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._needed: list[dict[str, dict[str, Tensor]]] = []

    def absent(self) -> str | None:
        """Return a reason if models are not trained in turn, or nothing is shared."""
        if self.subject.unordered:
            return f"{self.subject.unordered}: there is no earlier and later"
        if not any(self.subject.inherited(i) for i in range(len(self.subject.paths))):
            return "no model shares parameters with another"
        return None

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Compare what the model needs with what the earlier ones did."""
        model = strategy.experience.current_experience
        shared = self.subject.shared(model)
        axes = output_axes(strategy.model)
        information = information_of(self.subject, strategy, model, shared)
        self._needed.append(
            {
                block: held_rows(
                    {n: row_sums(f, axes[n]) for n, f in own.items() if f.ndim > 1},
                    SHARE,
                    highest=True,
                    together=False,
                )
                for block, own in information.items()
            }
        )
        for earlier in range(model):
            counts: dict[str | None, tuple[int, int]] = {
                block: self._counts(earlier, model, block)
                for block in shared
                if block in self._needed[earlier]
            }
            counts[None] = (sum(c for c, _ in counts.values()), sum(e for _, e in counts.values()))
            for block, (common, either) in counts.items():
                if either:
                    jaccard = common / either
                    row = {"model": model, "earlier": earlier, "block": block, "jaccard": jaccard}
                    self.rows.append(row)

    def _counts(self, earlier: int, model: int, block: str) -> tuple[int, int]:
        """Return how many rows of a block both models need, and how many either does."""
        first, second = self._needed[earlier][block], self._needed[model][block]
        common = sum(int((first[name] & second[name]).sum()) for name in second)
        either = sum(int((first[name] | second[name]).sum()) for name in second)
        return common, either
