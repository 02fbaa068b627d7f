"""Sums over samples of a function of each sample's gradients.

The Fisher information is such a sum, of squares; the sensitivity of memory aware synapses is
another, of absolute values. A sample's gradient is that of a batch with only this sample. The sum
over samples is computed here for every network, in the fastest possible of three ways:

* layers with closed forms: all samples at once, see ``uses.py``;
* all other parameters by autograd, batched over samples, see ``gradients.py``;
* one sample after the other, if the network does what ``torch.func.vmap`` cannot follow
  (branches on values, boolean masks, activation checkpoints).

The first two run the network under vmap, where no sample can see another. Before they are used, one
sample's gradients are compared with plain autograd's. And some samples of every batch are run as an
ordinary batch: if their logits differ from those one by one, as with batch normalisation without
running statistics, the network has no gradients of single samples, and an error says so, see
``batch_mates.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    requiring_gradients,
)
from palimpsest.strategies.curvature.per_sample import gradients as per_sample_gradients
from palimpsest.strategies.curvature.per_sample.batch_mates import (
    close,
    require_independence,
    rows_that_differ,
    some,
    tolerance,
)
from palimpsest.strategies.curvature.per_sample.layers import precise, squared_gradients
from palimpsest.strategies.curvature.per_sample.uses import (
    WeightUse,
    forward,
    in_graph,
    uses_of_one,
    watchable,
)

_BATCH = 1024
"""The largest number of samples in one forward pass."""

_BATCH_ELEMENTS = 2**24
"""The largest number of elements of inputs and outputs in it: 64 MB. With fewer, large networks
take so few samples at once that convolutions are slow; small ones lose little by more."""


class Sum(ABC):
    """What is summed over samples and, if there are several, over backward passes.

    Attributes:
        kinds: The layers that ``of_uses`` has closed forms for.
    """

    kinds: tuple[type[nn.Module], ...]

    @abstractmethod
    def vectors(self, logits: Tensor, part: slice) -> Iterable[Tensor]:
        """Return the vectors to backpropagate: v_k (n, C), one at a time.

        Args:
            logits: (n, C), outside the autograd graph.
            part: Which samples they belong to.
        """

    @abstractmethod
    def of_gradients(self, gradients: Tensor) -> Tensor:
        """Return the function of gradients that is summed, element by element."""

    @abstractmethod
    def of_uses(
        self, logits: Tensor, uses: Sequence[WeightUse], vectors: Iterable[Tensor]
    ) -> dict[Tensor, Tensor]:
        """Return the sums for the weights and biases whose use was noted.

        Args:
            logits: (N, C).
            uses: From the same forward pass, samples first.
            vectors: v_k (N, C), one backward pass each.
        """


@torch.enable_grad()
def mean_over_samples(
    network: Network, parameters: Mapping[str, Tensor], x: Tensor, sum_of: Sum
) -> dict[str, Tensor]:
    """Return ``1/N sum_n sum_k f(d (v_nk . logits_n) / d theta)``.

    The model is in evaluation mode meanwhile (no dropout, running statistics for normalisation) and
    restored afterwards; its gradients are not touched.

    Args:
        network: Returns logits (N, C).
        parameters: What to differentiate by, by name in the model.
        x: Inputs (N, ...).
        sum_of: v and f.

    Returns:
        Tensors of the parameters' shapes, by name.

    Raises:
        ValueError: The logits of a sample depend on its batch, or the network cannot take a single
            sample; the error names the layer.
    """
    model = network.model
    every = dict(model.named_parameters(remove_duplicate=False))
    wanted = {name: every[name] for name in parameters}
    totals = {name: precise(torch.zeros_like(p.detach())) for name, p in parameters.items()}
    if not wanted:
        return {}
    with evaluation_mode(model), requiring_gradients(model), differentiable(model):
        plan = _plan(network, wanted, x, sum_of)
        size = plan.batch if plan else _BATCH
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            found = _at_once(plan, x[part], part) if plan else None
            if found is None:
                plan = None  # what fails for one batch is not tried for the next ones
                require_independence(network, some(x[part]))
                found = _in_turn(network, wanted, x[part], part, sum_of)
            for name, value in found.items():
                totals[name] += value
    return {name: (total / len(x)).to(parameters[name]) for name, total in totals.items()}


@dataclass(frozen=True)
class _Plan:
    """How all samples of a batch are differentiated at once.

    Attributes:
        network: The network.
        wanted: What to differentiate by, by name.
        sum_of: What is summed.
        layers: The layers that are watched.
        uses: What one sample uses of them.
        batch: Samples per forward pass.
    """

    network: Network
    wanted: Mapping[str, Tensor]
    sum_of: Sum
    layers: list[nn.Module]
    uses: list[WeightUse]
    batch: int

    def sums(self, x: Tensor, part: slice) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits (n, C) of some samples and the sums over them, by name."""
        logits, uses = forward(self.network, self.layers, self.uses, x)
        values = logits.detach()
        sums: dict[Tensor, Tensor] = {}
        if uses and logits.requires_grad:
            sums = self.sum_of.of_uses(logits, uses, self.sum_of.vectors(values, part))
        found = {name: sums[own] for name, own in self.wanted.items() if own in sums}
        rest = in_graph(logits, self.wanted)
        vectors = list(self.sum_of.vectors(values, part)) if rest else []
        if vectors:
            found |= per_sample_gradients.together(
                self.network,
                {name: self.wanted[name] for name in rest},
                x,
                torch.stack(vectors, dim=1),
                self.sum_of.of_gradients,
            )
        return values, found


class _LastSampleOnly(Sum):
    """Another sum, for the last sample only and one vector."""

    def __init__(self, of: Sum, vector: Tensor) -> None:
        self._of, self._vector = of, vector
        self.kinds = of.kinds

    def vectors(self, logits: Tensor, part: slice) -> list[Tensor]:
        """Return the vector in the last row and zeros in the others."""
        rows = torch.zeros_like(precise(logits))
        rows[-1] = self._vector
        return [rows]

    def of_gradients(self, gradients: Tensor) -> Tensor:
        """Return the other's function."""
        return self._of.of_gradients(gradients)

    def of_uses(
        self, logits: Tensor, uses: Sequence[WeightUse], vectors: Iterable[Tensor]
    ) -> dict[Tensor, Tensor]:
        """Return the other's sums."""
        return self._of.of_uses(logits, uses, vectors)


def _plan(network: Network, wanted: Mapping[str, Tensor], x: Tensor, sum_of: Sum) -> _Plan | None:
    """Return how to differentiate many samples at once, or ``None`` if that would be wrong.

    The last sample's gradients for a random vector, in a batch of two, must be those that plain
    autograd finds.
    """
    try:
        layers = watchable(network.model, wanted.values(), sum_of.kinds)
        uses = uses_of_one(network, layers, x[-1])
        of_uses = (squared_gradients(u.layer, u.inputs[None], u.zeros[None]) for u in uses)
        elements = 1 + sum(own.elements for own in of_uses)
        batch = min(_BATCH, max(1, _BATCH_ELEMENTS // elements))
        plan = _Plan(network, wanted, sum_of, layers, uses, batch)

        logits = network.of_one(x[-1])
        generator = torch.Generator().manual_seed(0)
        vector = precise(torch.randn(len(logits), generator=generator).to(logits))
        _, found = replace(plan, sum_of=_LastSampleOnly(sum_of, vector)).sums(
            x[[0, -1]], slice(0, 2)
        )
        expected = per_sample_gradients.gradients(
            network.model, logits, list(wanted.values()), vector
        )
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return None
    right = {
        name: torch.zeros_like(wanted[name]) if g is None else sum_of.of_gradients(precise(g))
        for name, g in zip(wanted, expected, strict=True)
    }
    # Where the right value is 0, rounding remains.
    largest = {name: value.abs().max() for name, value in right.items() if value.numel()}
    least = max((tolerance(m) * m.item() for m in largest.values()), default=0.0)
    agree = all(close(found.get(n, torch.zeros_like(v)), v, least) for n, v in right.items())
    return plan if agree else None


def _at_once(plan: _Plan, x: Tensor, part: slice) -> dict[str, Tensor] | None:
    """Return the sums over some samples, or ``None`` if vmap fails or finds other logits."""
    try:
        logits, sums = plan.sums(x, part)
        whole = plan.network(some(x)).detach()
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return None
    return None if rows_that_differ(whole, some(logits)).any() else sums


def _in_turn(
    network: Network, wanted: Mapping[str, Tensor], x: Tensor, part: slice, sum_of: Sum
) -> dict[str, Tensor]:
    """Return the sums over some samples, one after the other."""

    def vectors(logits: Tensor, n: int) -> Iterable[Tensor]:
        return sum_of.vectors(logits, slice(part.start + n, part.start + n + 1))

    return per_sample_gradients.in_turn(network, wanted, x, vectors, sum_of.of_gradients)
