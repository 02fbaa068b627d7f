"""How sensitive the outputs of a network are to each parameter, per sample.

With logits f(x; theta) and N samples::

    Omega_i = 1/N sum_n |d ||f(x_n)||^2 / d theta_i|

The absolute value is taken sample by sample: the gradient of a batch's sum is smaller, because
samples of different signs cancel, and the more so the larger the batch. For a linear layer that
multiplies one vector a_n a sample, where the gradient by its output is g_n, the sum over samples
is ``|g|^T |a|``; a recurrent layer is two linear layers over steps, see ``fisher_recurrent.py``.
All other parameters are differentiated by sample by sample.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from avalanche.models.utils import is_multi_task_module
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from strategies import fisher_hooks
from strategies.fisher import evaluation_mode, requiring_gradients

_CHUNK_ELEMENTS = 2**22
"""Elements of per-sample gradients held at once; more leaves the processor's cache."""


def output_sensitivity(
    model: nn.Module, parameters: Mapping[str, Tensor], x: Tensor, *, task_label: int = 0
) -> dict[str, Tensor]:
    """Return the mean absolute gradient of the squared norm of the logits.

    The model is in evaluation mode meanwhile (no dropout, running statistics for
    normalisation) and left as it was found; its gradients are not touched.

    Args:
        model: Returns logits (N, C); an Avalanche ``MultiTaskModule`` is called with the label.
        parameters: The parameters to differentiate by, by their name in the model.
        x: Inputs (N, ...).
        task_label: Which model of a bank the samples belong to.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.
    """
    totals = {name: torch.zeros_like(value.detach()) for name, value in parameters.items()}
    every = dict(model.named_parameters(remove_duplicate=False))
    wanted = {name: every[name] for name in parameters}
    with evaluation_mode(model), requiring_gradients(model), torch.enable_grad():
        plan = fisher_hooks.plan(model, wanted.values(), x, task_label)
        layers = [layer for layer in plan.layers if isinstance(layer, nn.Linear | nn.RNNBase)]
        for part in torch.split(x, plan.batch):
            logits, uses = fisher_hooks.forward(model, part, task_label, layers)
            sums = _of_products(logits, uses, plan.axes)
            found = {name: sums[own] for name, own in wanted.items() if own in sums}
            rest = fisher_hooks.in_graph(logits, wanted)
            if rest:
                found |= _of_any(model, {name: wanted[name] for name in rest}, part, task_label)
            for name, value in found.items():
                totals[name] += value
    return {name: total / len(x) for name, total in totals.items()}


def _of_products(
    logits: Tensor, uses: list[fisher_hooks.Use], axes: Mapping[Tensor, int]
) -> dict[Tensor, Tensor]:
    """Sum absolute gradients by the weights and biases whose use was noted, over samples."""
    if not uses or not logits.requires_grad:
        return {}
    gradients = torch.autograd.grad(
        logits,
        [use.zeros for use in uses],
        2 * logits.detach(),
        retain_graph=True,
        materialize_grads=True,
    )
    found: dict[Tensor, Tensor] = {}
    for use, gradient in zip(uses, gradients, strict=True):
        axis = axes[use.weight]
        a = use.inputs.movedim(axis, 0).reshape(len(logits), -1, use.inputs.shape[-1])
        g = gradient.movedim(axis, 0).reshape(len(logits), -1, gradient.shape[-1])
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


@torch.no_grad()
def _of_any(
    model: nn.Module, values: Mapping[str, Tensor], x: Tensor, task_label: int
) -> dict[str, Tensor]:
    """Sum absolute gradients by any parameters over samples: slow, but always right."""
    label = (task_label,) if is_multi_task_module(model) else ()
    constants = {name: value.detach() for name, value in values.items()}

    def squared_norm(theta: dict[str, Tensor], sample: Tensor) -> Tensor:
        logits: Tensor = functional_call(model, theta, (sample[None], *label))
        return logits.square().sum()

    sums = {name: torch.zeros_like(value) for name, value in constants.items()}
    # torch cannot batch over recurrent layers, and cuDNN not go back through them in evaluation.
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        with torch.backends.cudnn.flags(enabled=False):
            for sample in x:
                for name, gradient in grad(squared_norm)(constants, sample).items():
                    sums[name] += gradient.abs()
        return sums
    together = vmap(grad(squared_norm), in_dims=(None, 0))
    chunk = max(1, _CHUNK_ELEMENTS // sum(value.numel() for value in constants.values()))
    for part in torch.split(x, chunk):
        for name, gradients in together(constants, part).items():
            sums[name] += gradients.abs().sum(dim=0)
    return sums
