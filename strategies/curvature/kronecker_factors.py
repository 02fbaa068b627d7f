"""The Fisher information of layers as Kronecker products, estimated from samples (KFAC).

The gradient of a sample's loss by a layer's weight W (outputs, inputs), with its bias as one more
column, is ``sum_t g_t a_t^T``: a_t are the T vectors that W multiplies, one for a linear layer and
one for each position of a convolution, and g_t the gradients by what comes out. With the factors
v_k of the logits' Fisher information (``fisher_factors.py``), one g for each k, and N samples::

    F = A (x) G    A = 1/N sum_n sum_t a_nt a_nt^T    G = 1/(N T) sum_n sum_k sum_t g_nkt g_nkt^T

so that ``v^T F v = sum(V * G V A)`` for a change V of W. It is the exact block of the layer for one
sample and T = 1. Otherwise it takes a and g for independent of one another and, of a convolution,
positions for uncorrelated. A layer that is used several times has the vectors of all its uses.

Sources: Martens & Grosse, Optimizing Neural Networks with Kronecker-factored Approximate Curvature,
ICML 2015, section 3; Grosse & Martens, A Kronecker-factored approximate Fisher matrix for
convolution layers, ICML 2016, section 3 ("KFAC expand" in later programs). On a small MLP and CNN
they are those of the library curvlinops (3.0.1, type-2 Fisher, expand) to rounding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from palimpsest.strategies.base.layer_inputs import WeightMatrix
from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    requiring_gradients,
)
from palimpsest.strategies.curvature.fisher_factors import draw_classes, factors
from palimpsest.strategies.curvature.kronecker_products import Product
from palimpsest.strategies.curvature.per_sample.batch_mates import require_independence, some
from palimpsest.strategies.curvature.per_sample.layers import precise

LaplaceEstimator = Literal["exact", "monte_carlo", "empirical"]


_BATCH = 1024
"""The largest number of samples in one forward pass."""

_ELEMENTS = 2**24
"""The largest number of elements of a layer's vectors in it: 64 MB."""


@torch.enable_grad()
def kronecker_factors(
    network: Network,
    layers: Sequence[WeightMatrix],
    x: Tensor,
    y: Tensor,
    *,
    estimator: LaplaceEstimator = "exact",
    generator: torch.Generator | None = None,
) -> dict[str, Product]:
    """Return A and G of some layers, see this module's docstring.

    The model is in evaluation mode meanwhile and restored afterwards; its gradients are not
    touched.

    Args:
        network: Returns logits (N, C).
        layers: Which layers.
        x: Inputs (N, ...).
        y: True labels (N,), used by ``empirical`` only.
        estimator: The labels of g: all by their probabilities (``exact``), one that is drawn
            (``monte_carlo``), or the true one (``empirical``).
        generator: Draws the labels of ``monte_carlo``, on the CPU.

    Returns:
        By name, of the layers that the network used.

    Raises:
        ValueError: The logits of a sample depend on its batch; the error names the layer.
    """
    model = network.model
    drawn = estimator == "monte_carlo"
    uniform = torch.rand(len(x) if drawn else 0, generator=generator)

    def vectors(logits: Tensor, part: slice) -> Iterable[Tensor]:
        p = precise(logits).softmax(dim=-1)
        labels = draw_classes(p, uniform[part]) if drawn else y[part]
        return factors(p, None if estimator == "exact" else labels)

    found: dict[str, Product] = {}
    with evaluation_mode(model), requiring_gradients(model), differentiable(model):
        require_independence(network, some(x))
        size = _batch_size(network, layers, x)
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            for name, product in _sums(network, layers, x[part], vectors, part):
                if name in found:
                    found[name].inputs.add_(product.inputs)
                    found[name].outputs.add_(product.outputs)
                else:
                    found[name] = product
    for product in found.values():
        product.inputs.div_(len(x))
        product.outputs.div_(len(x))
    return found


def factors_of_labels(
    model: nn.Module,
    layers: Sequence[WeightMatrix],
    x: Tensor,
    y: Tensor,
    labels: Tensor,
    *,
    device: Any,
    estimator: LaplaceEstimator,
    generator: torch.Generator,
) -> dict[str, Product]:
    """Return A and G over samples of several task labels, see ``kronecker_factors``.

    A is the mean over the samples whose label uses the layer, and G the sum over them divided by
    the number of all, so that their product is the mean over all samples.

    Args:
        model: The network.
        layers: Which layers.
        x: Inputs (N, ...).
        y: True labels (N,).
        labels: Task labels (N,).
        device: Where the network is.
        estimator: See ``kronecker_factors``.
        generator: Likewise.
    """
    products: dict[str, Product] = {}
    seen: dict[str, int] = {}
    for label in sorted(set(labels.tolist())):
        own = labels == label
        found = kronecker_factors(
            Network(model, label),
            layers,
            x[own].to(device),
            y[own].to(device),
            estimator=estimator,
            generator=generator,
        )
        for name, product in found.items():
            count = int(own.sum())
            seen[name] = seen.get(name, 0) + count
            part = Product(product.inputs * count, product.outputs * (count / len(x)))
            products[name] = products[name].plus(part) if name in products else part
    for name, product in products.items():
        product.inputs.div_(seen[name])
    return products


def _sums(
    network: Network,
    layers: Sequence[WeightMatrix],
    x: Tensor,
    vectors: Callable[[Tensor, slice], Iterable[Tensor]],
    part: slice,
) -> Iterator[tuple[str, Product]]:
    """Yield the sums over some samples, by name."""
    with _noted(layers) as uses:
        logits = network(x)
    used = [layer for layer in layers if layer.name in uses]
    zeros = [zero for layer in used for _, zero in uses[layer.name]]
    sums = {
        layer.name: zero.new_zeros(len(layer.layer.weight), len(layer.layer.weight))
        for layer, zero in ((own, precise(uses[own.name][0][1].detach())) for own in used)
    }
    if logits.requires_grad and zeros:
        for vector in vectors(logits.detach(), part):
            gradients = iter(
                torch.autograd.grad(
                    logits, zeros, vector.to(logits), retain_graph=True, materialize_grads=True
                )
            )
            for layer in used:
                for _ in uses[layer.name]:
                    rows = layer.results(precise(next(gradients)))
                    sums[layer.name].addmm_(rows.T, rows)
    for layer in used:
        inputs = [precise(layer.vectors(a)) for a, _ in uses[layer.name]]
        positions = sum(map(len, inputs)) / len(x)
        gram = sum((rows.T @ rows for rows in inputs[1:]), inputs[0].T @ inputs[0])
        yield layer.name, Product(gram, sums[layer.name] / positions)


@contextmanager
def _noted(layers: Sequence[WeightMatrix]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Note, for each use of a layer, its input and zeros that are added to its output.

    The gradient by the zeros is that by the output, also where the output is changed in place.
    """
    uses: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def watch(name: str) -> Callable[[Any, tuple[Tensor, ...], Tensor], Tensor]:
        def note(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            zeros = torch.zeros_like(output, requires_grad=True)
            uses.setdefault(name, []).append((inputs[0].detach(), zeros))
            return output + zeros

        return note

    handles = [own.layer.register_forward_hook(watch(own.name)) for own in layers]
    try:
        yield uses
    finally:
        for handle in handles:
            handle.remove()


def _batch_size(network: Network, layers: Sequence[WeightMatrix], x: Tensor) -> int:
    """Return how many samples are run at once, so that the vectors of a layer fit into memory."""
    with _noted(layers) as uses:
        network(x[:1])
    widths = {layer.name: layer for layer in layers}
    elements = [
        widths[name].width * sum(widths[name].count(a) for a, _ in own)
        for name, own in uses.items()
    ]
    return min(_BATCH, max(1, _ELEMENTS // max(elements, default=1)))
