"""Orthogonal projection-based continual merging."""

from math import fsum, sqrt
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.layer_inputs import matrices
from palimpsest.strategies.base.settings import Share
from palimpsest.strategies.merging.merging import MergeSettings, Merging, Values
from palimpsest.strategies.task_arithmetic import add


class OPCMSettings(MergeSettings):
    """Settings of orthogonal projection-based continual merging."""

    alpha: Share = Field(
        0.5,
        description="Share of the sum of singular values of what is merged so far whose "
        "directions a new task vector is projected away from. 0: only from each pair of "
        "directions by itself; 1: from all.",
    )


class OPCM(Merging):
    """Merge models one by one, each across what is merged so far (OPCM).

    Of the weight of a linear or convolutional layer, as a matrix of shape (outputs, inputs), with
    D what earlier models have made of it and ``D = U diag(s) V^T``::

        P = U^T tau_t V,  with P_ii = 0 for all i, and P_ij = 0 for i, j <= r
        r = the largest for which (s_1 + .. + s_r) / (s_1 + s_2 + ..) <= alpha
        D <- D + (what tau_t is with this P)

    so that nothing of it lies along D: their inner product is 0. Of other parameters, D is the sum
    of the task vectors. All of D together is scaled to the mean length of a task vector::

        theta = theta_0 + D (mean_t ||tau_t||) / ||D||

    This is the published recursion: its lambda_t, by which it multiplies D before it adds, is
    ``||D|| / mean_t ||tau_t||``, which undoes the scaling. Lengths are those of shared parameters,
    without running statistics. A task vector of 0, which the first model has unless ``start`` is
    initial, counts in the mean.

    Source: Tang et al., Merging Models on the Fly Without Retraining: A Sequential Approach to
    Scalable Continual Model Merging, NeurIPS 2025, and the authors' program in
    github.com/tanganke/fusion_bench; that in github.com/tanganke/opcm sets the diagonal of a copy
    to 0 (``diag()``), so that P keeps it. Other than in the program: convolutions are projected,
    too, with a row for each output; alpha = 1 means all directions (where the program finds r = 0);
    and directions with a singular value of 0, which are arbitrary, are left alone.

    Attributes:
        sums: D, by name.
        squares: ``||tau_t||^2``, by the number of the model.

    Limits:
        What is removed is the inner product with what is merged so far, and a block of directions,
        not all that has to do with these: most of a random task vector is left. Tasks that resemble
        each other have task vectors in common directions, which is what they agree on, and it is
        removed: on the turned images of ``task_arithmetic`` it has 75.2 %, less than the running
        average (80.1 %); on the permutations 72.5 %, and 52.1 %, which is a matter of length: there
        task arithmetic has 74.0 % at its best scale (see ``docs/merging.md``). A decomposition of
        each layer's weights follows every training. Its ``alpha`` acts when a model is merged:
        keeping task vectors to turn it later would cost the constant memory. Beside the authors'
        programs, five random models merge to the same weights, up to rounding, as in fusion_bench
        (github.com/tanganke/fusion_bench); the paper's own (github.com/tanganke/opcm) sets the
        diagonal of a copy to 0, so that P keeps it. With which of them the published numbers were
        made is not known. See ``task_arithmetic`` for the limits of all that merge.
    """

    facts = Facts(
        name="opcm",
        summary="merge task vectors one by one, each across the directions of those before",
        source="Tang et al., Merging Models on the Fly Without Retraining, NeurIPS 2025",
        dial=Dial("alpha", "alphas", lowest=0, highest=1),
        merges=True,
        keeps_statistics=True,
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
    )
    Settings = OPCMSettings
    settings: OPCMSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.sums: Values = {}
        self.squares: dict[int, float] = {}

    @property
    def scale(self) -> float:
        """``mean_t ||tau_t|| / ||D||``, the reciprocal of lambda_t; 0 where D is 0."""
        length = sqrt(fsum(_square(own) for own in self.sums.values()))
        norms = [sqrt(square) for square in self.squares.values()]
        return fsum(norms) / len(norms) / length if length else 0.0

    def take(self, model: nn.Module, index: int, trained: Values, began: Values) -> None:
        """Add what is left of task vectors."""
        weights = {f"{own.name}.weight" if own.name else "weight" for own in matrices(model)}
        for name, value in trained.items():
            vector = value - began[name]
            self.squares[index] = self.squares.get(index, 0.0) + _square(vector)
            if name in weights and name in self.sums:
                merged = fitted(self.sums[name], vector.shape)
                left = projected(merged.flatten(1), vector.flatten(1), self.settings.alpha)
                vector = left.view_as(vector)
            add(self.sums, name, vector)

    def merged(self, index: int) -> Values:
        """Return the start and what is merged, at the mean length of a task vector."""
        scale = self.scale
        return {
            name: self.starts[name] + scale * fitted(own, self.starts[name].shape)
            for name, own in self.sums.items()
        }


def projected(merged: Tensor, vector: Tensor, alpha: float) -> Tensor:
    """Return a task vector without what lies along the directions of what is merged.

    Args:
        merged: D, of shape (outputs, inputs).
        vector: tau, of the same shape.
        alpha: Which directions are left out altogether, not only each pair by itself.
    """
    left, values, right = torch.linalg.svd(merged.double(), full_matrices=False)
    small = torch.finfo(merged.dtype).eps * max(merged.shape)
    count = int((values > small * values[:1]).sum())
    if not count:
        return vector
    left, values, right = left[:, :count], values[:count], right[:count]
    shares = values.cumsum(0)
    block = int((shares / shares[-1] <= alpha).sum())
    along = left.T @ vector.double() @ right.T
    rest = torch.ones_like(along, dtype=torch.bool)
    rest[:block, :block] = False
    rest.fill_diagonal_(False)
    taken: Tensor = left @ along.masked_fill(rest, 0.0) @ right
    return (vector.double() - taken).to(vector.dtype)


def _square(value: Tensor) -> float:
    return float(value.double().square().sum())
