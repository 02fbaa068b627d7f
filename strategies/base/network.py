"""A classifier in evaluation: a function of samples, whose layers can be inspected."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from avalanche.models.utils import avalanche_forward, is_multi_task_module
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

Table = nn.Embedding | nn.EmbeddingBag


@dataclass(frozen=True)
class Network:
    """A model for one task label.

    Attributes:
        model: Returns logits (N, C) for inputs (N, ...); an Avalanche ``MultiTaskModule`` is
            called with the label.
        task_label: Which model of a bank.
        state: Values of parameters and buffers, by name; ``None`` for the model's own.
    """

    model: nn.Module
    task_label: int = 0
    state: Mapping[str, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        if self.state is None:
            logits: Tensor = avalanche_forward(self.model, x, self.task_label)
        else:
            label = (self.task_label,) if is_multi_task_module(self.model) else ()
            state = _once_each(self.model, self.state)
            logits = functional_call(self.model, state, (x, *label), tie_weights=False)
        return logits

    def of_one(self, sample: Tensor) -> Tensor:
        """Return the logits (C,) of a sample as a batch of one."""
        logits = self(sample[None])
        if logits.ndim != 2 or len(logits) != 1:
            raise ValueError(
                f"for a batch of one sample the logits have the shape {tuple(logits.shape)}; "
                "expected (1, classes)"
            )
        return logits[0]


def _once_each(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values for all names of tied tensors, but with only one name per layer.

    ``functional_call`` leaves its values behind in a layer that it is given twice, which happens if
    it resolves ties itself and a layer has two names (torch 2.15).
    """
    named = chain(
        model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    )
    own = dict(named)
    values = {id(own[name]): value for name, value in state.items()}
    return {
        f"{prefix}.{name}" if prefix else name: values[id(tensor)]
        for prefix, module in model.named_modules()
        for name, tensor in chain(module._parameters.items(), module._buffers.items())
        if id(tensor) in values
    }


def outputs_of_each(model: nn.Module, x: Tensor, task_labels: Sequence[int]) -> list[Tensor]:
    """Return the outputs of several models of a network on the same inputs.

    Args:
        model: Called once for each label, unless it has a ``forward_each`` that shares what they
            have in common.
        x: Inputs (N, ...).
        task_labels: Of the models.
    """
    each: Any = getattr(model, "forward_each", None)
    if each is not None:
        return list(each(x, task_labels))
    return [avalanche_forward(model, x, label) for label in task_labels]


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Return the running statistics of normalisation layers, by name."""
    return {
        f"{name}.{own}" if name else own: buffer
        for name, layer in model.named_modules()
        if isinstance(layer, _NormBase)
        for own, buffer in layer.named_buffers(recurse=False)
    }


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Each module's mode, training or evaluation, is restored afterwards, whatever it is part of.

    ``module.train(mode)`` does not do this: it also sets the children, which others may share.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; each module's own mode is restored afterwards."""
    with modes_kept(model):
        model.eval()
        yield


@contextmanager
def requiring_gradients(model: nn.Module) -> Iterator[None]:
    """All parameters require gradients, so that every use of one shows in the autograd graph."""
    before = {p: p.requires_grad for p in model.parameters() if p.is_floating_point()}
    for parameter in before:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, required in before.items():
            parameter.requires_grad_(required)


@contextmanager
def recurrent_kernels(model: nn.Module) -> Iterator[None]:
    """Kernels whose backward pass recurrent layers have in evaluation mode, unlike cuDNN's."""
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        with torch.backends.cudnn.flags(enabled=False):
            yield
    else:
        yield


@contextmanager
def without_onednn(model: nn.Module) -> Iterator[None]:
    """Kernels of recurrent layers that can be differentiated twice, unlike oneDNN's of an LSTM.

    The values differ by rounding, so that it is for those alone who need it.
    """
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        with torch.backends.mkldnn.flags(enabled=False):
            yield
    else:
        yield


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Disable what autograd cannot follow, or only once; the values stay the same.

    Embeddings get dense gradients. If they have a ``max_norm``, and so rescale the rows that they
    look up in place, all rows are rescaled at once, and restored afterwards. Compiled functions run
    uncompiled. cuDNN, which has no backward pass for recurrent layers in evaluation mode, is
    disabled.
    """
    tables = [module for module in model.modules() if isinstance(module, Table)]
    settings = [(table, table.sparse, table.max_norm) for table in tables]
    weights = {t.weight: t.weight.detach().clone() for t in tables if t.max_norm is not None}
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:  # nothing is compiled without it
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(recurrent_kernels(model))
        try:
            for table in tables:
                if table.max_norm is not None:
                    table.weight.data.copy_(rescaled(table, table.weight))
                table.sparse, table.max_norm = False, None
            yield
        finally:
            for table, sparse, max_norm in settings:
                table.sparse, table.max_norm = sparse, max_norm
            for weight, value in weights.items():
                weight.data.copy_(value)


def rescaled(table: Table, weight: Tensor) -> Tensor:
    """Return a copy of a table's weight in which no row is longer than its ``max_norm``."""
    copy = weight.detach().clone()
    if table.max_norm is None:
        return copy
    rows = torch.arange(len(copy), device=copy.device)
    return torch.embedding_renorm_(copy, rows, table.max_norm, table.norm_type)


@contextmanager
def replaced_forward(layers: Iterable[nn.Module], call: Callable[..., Any]) -> Iterator[None]:
    """Let ``call(layer, forward, *args, **kwargs)`` stand in for the layers' forward functions.

    Hooks of the layers see what it is given and what it returns.
    """
    replaced = list(layers)
    before = [vars(layer).get("forward") for layer in replaced]
    for layer in replaced:
        vars(layer)["forward"] = partial(call, layer, layer.forward)
    try:
        yield
    finally:
        for layer, own in zip(replaced, before, strict=True):
            del vars(layer)["forward"]
            if own is not None:
                vars(layer)["forward"] = own
