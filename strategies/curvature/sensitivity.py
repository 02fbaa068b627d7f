"""How sensitive the outputs of a network are to each parameter, per sample.

With logits f(x; theta) and N samples::

    Omega_i = 1/N sum_n |d ||f(x_n)||^2 / d theta_i|

The absolute value is taken sample by sample: the gradient of a batch's sum is smaller, because
samples of different signs cancel, and the more so the larger the batch. For a linear layer that
multiplies one vector a_n per sample, with gradient g_n by its output, the sum over samples is
``|g|^T |a|``; a recurrent layer is two linear layers over steps, see ``recurrent.py``.
All other parameters are handled sample by sample, see ``per_sample/sums.py``.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from palimpsest.strategies.base.network import Network
from palimpsest.strategies.curvature.per_sample.layers import precise
from palimpsest.strategies.curvature.per_sample.sums import Sum, mean_over_samples
from palimpsest.strategies.curvature.per_sample.uses import WeightUse, backward

_CHUNK_ELEMENTS = 2**22
"""Elements of per-sample gradients held at once; more do not fit into the processor's cache."""


def output_sensitivity(
    model: nn.Module, parameters: Mapping[str, Tensor], x: Tensor, *, task_label: int = 0
) -> dict[str, Tensor]:
    """Return the mean absolute gradient of the squared norm of the logits.

    The model is in evaluation mode meanwhile (no dropout, running statistics for normalisation) and
    restored afterwards; its gradients are not touched.

    Args:
        model: Returns logits (N, C); an Avalanche ``MultiTaskModule`` is called with the label.
        parameters: The parameters to differentiate by, by their name in the model.
        x: Inputs (N, ...).
        task_label: Which model of a bank the samples belong to.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.

    Raises:
        ValueError: The logits of a sample depend on its batch, or the network cannot take a single
            sample; the error names the layer.
    """
    return mean_over_samples(Network(model, task_label), parameters, x, _AbsoluteValues())


class _AbsoluteValues(Sum):
    """Absolute gradients of the logits' squared norm."""

    kinds = (nn.Linear, nn.RNNBase)

    def vectors(self, logits: Tensor, part: slice) -> list[Tensor]:
        """Return the norm's gradient by the logits."""
        return [2 * precise(logits)]

    def of_gradients(self, gradients: Tensor) -> Tensor:
        """Return the absolute values."""
        return gradients.abs()

    def of_uses(
        self, logits: Tensor, uses: Sequence[WeightUse], vectors: Iterable[Tensor]
    ) -> dict[Tensor, Tensor]:
        """Return the sums for weights that multiply vectors of the samples."""
        found: dict[Tensor, Tensor] = {}
        for gradients in backward(logits, uses, vectors):
            for use, gradient in zip(uses, gradients, strict=True):
                a, g = (
                    precise(values).reshape(len(logits), -1, values.shape[-1])
                    for values in (use.inputs, gradient)
                )
                found[use.weight] = _absolute_products(g, a)
                if use.bias is not None:
                    found[use.bias] = g.sum(dim=1).abs().sum(dim=0)
        return found


def _absolute_products(g: Tensor, a: Tensor) -> Tensor:
    """Return ``sum_n |sum_t g_nt a_nt^T|`` (O, I) of g (N, T, O) and a (N, T, I)."""
    if g.shape[1] == 1:
        return g[:, 0].abs().T @ a[:, 0].abs()
    size = max(1, _CHUNK_ELEMENTS // (g.shape[-1] * a.shape[-1]))
    parts = zip(torch.split(g, size), torch.split(a, size), strict=True)
    return torch.stack([(g_n.mT @ a_n).abs().sum(dim=0) for g_n, a_n in parts]).sum(dim=0)
