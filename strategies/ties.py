"""TIES merging: trim, elect a sign, and merge what has it."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from palimpsest.strategies.base.facts import SCALE, Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.settings import NonNegative, PositiveShare
from palimpsest.strategies.merging.merging import MergeSettings, Merging, Values
from palimpsest.strategies.task_arithmetic import add


class TIESSettings(MergeSettings):
    """Settings of TIES merging."""

    scale: NonNegative = Field(
        1.0, description="lambda: what the merged task vector is multiplied by. 0 is the start."
    )
    density: PositiveShare = Field(
        0.2,
        description="Share of the elements of a model's task vector, with the largest absolute "
        "values, that is kept.",
    )


class TIES(Merging):
    """Merge the largest elements of task vectors, and of those the ones with the sign elected.

    Of each task vector tau_t the share ``density`` with the largest absolute values is kept, and
    the rest is set to 0. Then in each element, with tau' what is left::

        sign = sgn(sum_t tau'_t)    theta = theta_0 + scale * mean_{t: sgn(tau'_t) = sign} tau'_t

    and theta_0 where the sum is 0. For this the sums and counts of positive and of negative
    elements are enough, so that memory does not grow with the number of models. The share is taken
    among all parameters of a model that have become shared by the same training.

    Source: Yadav et al., TIES-Merging: Resolving Interference When Merging Models, NeurIPS 2023,
    section 4.1 and algorithm 1, and its program, github.com/prateeky2806/ties-merging. The program
    gives a sum of exactly 0 the sign of most elements; this follows the paper.

    Attributes:
        scale: The present value of the dial.
        sums: Of the kept positive and negative elements, by the sign and name.
        counts: How many of these there are, by the sign and name.

    Limits:
        Sums and counts of both signs take four times the parameters' memory. Which elements are
        large is decided across layers, so that a layer that learns slowly has few of them. On the
        turned images of ``task_arithmetic`` it has 78.8 %, on the permutations 75.2 %, the most of
        all that merge. See ``task_arithmetic`` for the limits of all.
    """

    facts = Facts(
        name="ties",
        summary="of task vectors, merge the largest elements, those with the sign of most",
        source="Yadav et al., TIES-Merging, NeurIPS 2023",
        dial=SCALE,
        merges=True,
        keeps_statistics=True,
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
    )
    Settings = TIESSettings
    settings: TIESSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.scale = self.settings.scale
        self.sums: dict[int, Values] = {1: {}, -1: {}}
        self.counts: dict[int, Values] = {1: {}, -1: {}}

    def turn(self, value: float) -> None:
        """Set the scale."""
        self.scale = value

    def take(self, model: nn.Module, index: int, trained: Values, began: Values) -> None:
        """Trim task vectors, and add them to the sums of their signs."""
        vectors = {name: value - began[name] for name, value in trained.items()}
        for name, vector in trimmed(vectors, self.settings.density).items():
            for sign in (1, -1):
                has = vector.sign() == sign
                add(self.sums[sign], name, vector * has)
                add(self.counts[sign], name, has.to(torch.int32))

    def merged(self, index: int) -> Values:
        """Return the start and the scaled means of the elected signs."""
        return {n: self.starts[n] + self.scale * self._merged_vector(n) for n in self.sums[1]}

    def _merged_vector(self, name: str) -> Tensor:
        positive, negative = (self.sums[sign][name] for sign in (1, -1))
        means = [self.sums[s][name] / self.counts[s][name].clamp_min(1) for s in (1, -1)]
        total = positive + negative
        found = torch.where(total > 0, means[0], torch.where(total < 0, means[1], 0.0))
        return fitted(found.to(total.dtype), self.starts[name].shape)


def trimmed(vectors: Values, density: float) -> Values:
    """Return tensors of which only the elements with the largest absolute values are left.

    Args:
        vectors: By name; elements of all of them are compared.
        density: How many are left, as a share; at least one is.
    """
    sizes = torch.cat([vector.abs().flatten() for vector in vectors.values()])
    kept = sizes.topk(max(1, round(density * len(sizes)))).indices
    mask = torch.zeros_like(sizes, dtype=torch.bool)
    mask[kept] = True
    parts = torch.split(mask, [vector.numel() for vector in vectors.values()])
    return {n: v * part.view_as(v) for (n, v), part in zip(vectors.items(), parts, strict=True)}
