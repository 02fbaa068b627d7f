"""Checks that a network treats every sample independently, and finds the layer that does not.

A network whose logits for a sample change with the other samples of its batch, as after batch
normalisation without running statistics, has no gradients of single samples: any importance
computed from them would be that of another network.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.strategies.base.network import Network

_SAMPLES = 32
"""How many samples of a batch are checked."""

_WHAT_TO_DO = (
    "so that it has no gradients of single samples, from which importance is estimated; let every "
    "layer treat each sample independently (batch normalisation with track_running_stats=True, for "
    "example), or use a strategy that needs no such gradients, such as si or l2"
)


def require_independence(network: Network, x: Tensor) -> None:
    """Raise an error if samples depend on the others in their batch.

    Differences that rounding explains, such as the choice between two experts with the same score,
    do not count: samples that differ are checked again in double precision.

    Args:
        network: In evaluation mode.
        x: Inputs (N, ...).

    Raises:
        ValueError: They do, or the network takes the batch but not each of its samples alone; the
            error names the layer.
    """
    whole = network(x).detach()
    alone = torch.stack([_of_one(network, sample) for sample in x])
    if whole.shape != alone.shape:
        raise ValueError(
            f"for a batch of {len(x)} samples the logits have the shape {tuple(whole.shape)}; "
            f"expected {tuple(alone.shape)}"
        )
    changed = rows_that_differ(whole, alone).nonzero().flatten().tolist()
    if not changed:
        return
    if any(rows_that_differ(network(x).detach(), whole).any() for _ in range(2)):
        layer = _first_difference(network, x, x, 0)
        raise ValueError(
            f"the logits of the same samples differ between forward passes in evaluation mode: "
            f"{layer} draws random numbers or remembers earlier batches, {_WHAT_TO_DO}"
        )
    if any(_depends(network, x, n) for n in changed):
        layer = _first_difference(network, x, x[changed[0]][None], changed[0])
        raise ValueError(
            f"the logits of a sample change with the other samples of its batch: {layer} mixes "
            f"samples, {_WHAT_TO_DO}"
        )


def _of_one(network: Network, sample: Tensor) -> Tensor:
    """Return the logits (C,) of a sample alone, or name the layer that cannot take it."""
    inside: list[nn.Module] = []

    def enter(layer: nn.Module, _: Any) -> None:
        inside.append(layer)

    def leave(*_: Any) -> None:
        inside.pop()

    try:
        return network.of_one(sample).detach()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        with suppress(Exception), _hooks(network.model, enter, leave):
            network.of_one(sample)
        layer = _named(network.model, inside[-1] if inside else network.model)
        raise ValueError(
            f"the network takes batches, but not a single sample: {layer} raises '{error}', "
            f"{_WHAT_TO_DO}"
        ) from error


def some(x: Tensor) -> Tensor:
    """Return the samples of a batch that are checked: some, spread evenly."""
    return x[:: -(-len(x) // _SAMPLES)]


def close(found: Tensor, right: Tensor, least: float = 0.0) -> bool:
    """Whether values are right up to rounding.

    Args:
        found: The values.
        right: What they should be.
        least: What rounding may leave in addition, if the largest value is close to 0.
    """
    right = right.nan_to_num(0, 0, 0)
    share = 2 * tolerance(right)
    largest = right.abs().max().item() if right.numel() else 0.0
    atol = share * (largest + least)
    return torch.allclose(found.nan_to_num(0, 0, 0), right, rtol=0, atol=atol)


def tolerance(values: Tensor) -> float:
    """Return the rounding error to allow, as a share of the largest value."""
    eps = torch.finfo(values.dtype).eps
    if values.dtype in (torch.float16, torch.bfloat16):
        return 16 * eps
    # CUDA multiplies single precision with 10 bits if TF32 is allowed.
    return 1e-2 if values.is_cuda and values.dtype == torch.float32 else 3 * eps**0.5


def rows_that_differ(a: Tensor, b: Tensor) -> Tensor:
    """Return which rows (N,) of two (N, C) differ by more than rounding."""
    largest = b.nan_to_num(0, 0, 0).abs().max().item() if b.numel() else 0.0
    return ~torch.isclose(a, b, rtol=0, atol=tolerance(b) * largest, equal_nan=True).all(dim=1)


def _depends(network: Network, x: Tensor, n: int) -> bool:
    """Whether also in double precision sample n has other logits in its batch than alone."""
    tensors = chain(network.model.named_parameters(), network.model.named_buffers())
    values = {**dict(tensors), **(network.state or {})}
    exact = replace(network, state={name: _double(value) for name, value in values.items()})
    try:
        whole, alone = exact(_double(x))[n], exact.of_one(_double(x[n]))
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return True  # the result in single precision stands
    return bool(rows_that_differ(whole.to(x.device)[None], alone[None]).any())


def _double(values: Tensor) -> Tensor:
    return values.detach().double() if values.is_floating_point() else values


@dataclass(frozen=True)
class _Call:
    """What went into a layer, and what came out."""

    layer: nn.Module
    inputs: list[Tensor]
    outputs: list[Tensor]


def _first_difference(network: Network, x: Tensor, other: Tensor, n: int) -> str:
    """Name the first layer whose output for a sample is not the same in two batches.

    Args:
        network: In evaluation mode.
        x: A batch (N, ...).
        other: The same batch, or sample n of it alone.
        n: The sample.
    """
    for a, b in zip(_calls(network, x), _calls(network, other), strict=False):
        if a.layer is not b.layer:
            break
        if not _same_rows(a.inputs, b.inputs, n):
            return f"what computes the input of {_named(network.model, a.layer)}"
        if not _same_rows(a.outputs, b.outputs, n):
            return _named(network.model, a.layer)
    return _named(network.model, network.model)


def _same_rows(ours: Sequence[Tensor], theirs: Sequence[Tensor], n: int) -> bool:
    """Whether sample n is the same in the tensors of a batch and of another, or alone."""
    for whole, alone in zip(ours, theirs, strict=False):
        own = _of_sample(whole, alone, n)
        if own.shape != alone.shape or not own.numel() or not own.is_floating_point():
            continue
        if rows_that_differ(own.reshape(1, -1), alone.reshape(1, -1)).any():
            return False
    return True


def _of_sample(whole: Tensor, alone: Tensor, n: int) -> Tensor:
    """Return the part of a batch's tensor that belongs to sample n."""
    for axis, (size, own) in enumerate(zip(whole.shape, alone.shape, strict=False)):
        if size != own:
            return whole.narrow(axis, n * own, own) if size >= (n + 1) * own else whole
    return whole


def _calls(network: Network, x: Tensor) -> list[_Call]:
    """Return the calls of all layers in a forward pass, in the order in which they end."""
    calls: list[_Call] = []

    def after(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        calls.append(_Call(layer, list(_tensors([args, kwargs])), list(_tensors(output))))

    with _hooks(network.model, lambda *_: None, after):
        network(x)
    return calls


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield copies of the tensors in tuples, lists and dictionaries."""
    if isinstance(values, Tensor):
        yield values.detach().clone()
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)


@contextmanager
def _hooks(model: nn.Module, before: Any, after: Any) -> Iterator[None]:
    """Call functions before and after every layer of a model."""
    handles = []
    try:
        for layer in model.modules():
            if isinstance(layer, torch.jit.ScriptModule):
                continue  # takes no hooks
            handles.append(layer.register_forward_pre_hook(before))
            handles.append(layer.register_forward_hook(after, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _named(model: nn.Module, layer: nn.Module) -> str:
    """Return a layer's name in the model and its class."""
    names = {module: name for name, module in model.named_modules()}
    if layer is model or layer not in names:
        return f"the network's own forward function ({type(model).__name__})"
    return f"layer {names[layer]!r} ({type(layer).__name__})"
