"""Watches a network's layers: their inputs, and the gradients by their outputs.

All samples go through the network at once, but each by itself: ``torch.func.vmap`` runs it as if on
one sample. So no sample's values or gradients can come from another, whatever the network does with
the dimensions of its tensors; where vmap cannot follow, such as at branches that depend on values,
it raises.

The forward function of every layer that ``layers.py`` covers is replaced by one that notes
the layer's input and adds zeros to its output; the gradient by the zeros is the gradient by the
output. Meanwhile the layer's parameters are constants. So any other use of them, by the layer
again, by another layer that shares them or by a function, shows in the autograd graph; for a
parameter that is not in the graph, the notes account for all gradients.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.func import vmap
from torch.overrides import TorchFunctionMode

from palimpsest.strategies.base.network import Network, replaced_forward
from palimpsest.strategies.curvature.per_sample.attention import attend
from palimpsest.strategies.curvature.per_sample.layers import covers
from palimpsest.strategies.curvature.per_sample.recurrent import unroll


@dataclass(frozen=True)
class WeightUse:
    """The use of a weight in a forward pass.

    Attributes:
        layer: The layer it belongs to.
        weight: The weight itself.
        bias: Its bias, if it has one.
        inputs: What the weight is applied to, samples first; outside the autograd graph.
        zeros: What is added to the result, samples first; a leaf of the graph.
    """

    layer: nn.Module
    weight: Tensor
    bias: Tensor | None
    inputs: Tensor
    zeros: Tensor


def watchable(
    model: nn.Module, wanted: Collection[Tensor], kinds: tuple[type[nn.Module], ...]
) -> list[nn.Module]:
    """Return the layers of some kinds that have wanted parameters and closed forms.

    All covered recurrent layers are among them, since vmap can only follow them unrolled.
    """
    own = set(wanted)
    return [
        layer
        for layer in model.modules()
        if isinstance(layer, kinds)
        and covers(layer)
        and (isinstance(layer, nn.RNNBase) or not own.isdisjoint(_parameters(layer)))
    ]


def _parameters(layer: nn.Module) -> set[Tensor]:
    """Return the parameters that a layer itself uses; attention has some in a child."""
    return set(layer.parameters(recurse=isinstance(layer, nn.MultiheadAttention)))


def uses_of_one(network: Network, layers: Sequence[nn.Module], sample: Tensor) -> list[WeightUse]:
    """Return one sample's uses of the layers' weights; their tensors have no sample dimension."""
    with _watched(layers, lambda like: torch.zeros_like(like, requires_grad=True)) as uses:
        network.of_one(sample)
    return uses


def forward(
    network: Network, layers: Sequence[nn.Module], like: Sequence[WeightUse], x: Tensor
) -> tuple[Tensor, list[WeightUse]]:
    """Run a network on every sample of a batch by itself, and note the first use of its layers.

    Args:
        network: Its parameters require gradients.
        layers: The layers to watch.
        like: One sample's uses of them.
        x: Inputs (N, ...).

    Returns:
        Logits (N, C), and all samples' uses, in the order of ``like``.

    Raises:
        RuntimeError: The network does what vmap cannot follow.
    """
    leaves = {use.zeros: use.zeros.new_zeros(len(x), *use.zeros.shape) for use in like}
    for leaf in leaves.values():
        leaf.requires_grad_(True)

    def of_one(sample: Tensor, *zeros: Tensor) -> tuple[Tensor, list[Tensor]]:
        rest = iter(zeros)
        with _watched(layers, lambda _: next(rest)) as uses:
            logits = network.of_one(sample)
        if [id(use.weight) for use in uses] != [id(use.weight) for use in like]:
            raise RuntimeError("the network uses other layers than before")
        return logits, [use.inputs for use in uses]

    with by_vmap():
        logits, inputs = vmap(of_one)(x, *leaves.values())
    parts = zip(like, inputs, strict=True)
    return logits, [replace(use, inputs=own, zeros=leaves[use.zeros]) for use, own in parts]


@contextmanager
def by_vmap() -> Iterator[None]:
    """Let a network run under vmap, and forbid what fails there.

    Activation checkpointing is not allowed: it runs layers again after vmap has ended.
    """
    with (
        warnings.catch_warnings(),
        disable_saved_tensors_hooks("saved tensors cannot be changed under vmap"),
        _AnyLayout(),
    ):
        warnings.filterwarnings("ignore", "There is a performance drop")
        yield


class _AnyLayout(TorchFunctionMode):
    """Ignores memory formats, which change no values and which vmap does not preserve."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.pop("memory_format", None) is not None and func is Tensor.to and len(args) == 1:
            return func(*args, **kwargs) if kwargs else args[0]
        try:
            return func(*args, **kwargs)
        except RuntimeError:
            if func is not Tensor.view:
                raise
            return Tensor.reshape(
                *args
            )  # the sample dimension may lie between the others in memory


@contextmanager
def _watched(
    layers: Sequence[nn.Module], zeros: Callable[[Tensor], Tensor]
) -> Iterator[list[WeightUse]]:
    """Note the first use of layers.

    Args:
        layers: The layers to watch, of covered kinds.
        zeros: Given a layer's result, returns the zeros to add to it.

    Yields:
        The uses, in order.
    """
    uses: list[WeightUse] = []
    seen: set[Tensor] = set()

    def attention(layer: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        own = _parameters(layer)
        found = None
        if seen.isdisjoint(own):
            found = attend(layer, *args, **kwargs, perturbation=zeros)
        if found is None:
            return forward(*args, **kwargs)
        seen.update(own)
        result, products = found
        for weight, bias, vectors, added in products:
            uses.append(WeightUse(layer, weight, bias, vectors, added))
        return result

    def call(layer: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        watch = attention if isinstance(layer, nn.MultiheadAttention) else of_one_input
        return watch(layer, forward, *args, **kwargs)

    def of_one_input(
        layer: Any, forward: Callable[..., Any], input: Any, *args: Any, **kwargs: Any
    ) -> Any:
        own = {p for p in layer._parameters.values() if p is not None}
        recurrent = isinstance(layer, nn.RNNBase)
        # A packed sequence is not a tensor, and a single sequence has no sample dimension.
        if recurrent and not (isinstance(input, Tensor) and input.ndim == 3):
            return forward(input, *args, **kwargs)
        if not seen.isdisjoint(own):
            if recurrent:
                return unroll(layer, input, *args, **kwargs)[0]
            return forward(input, *args, **kwargs)
        seen.update(own)
        if recurrent:
            with _constants(layer):
                result, products = unroll(layer, input, *args, **kwargs, perturbation=zeros)
            for suffix, vectors, added in products:
                weight = getattr(layer, f"weight_{suffix}")
                bias = getattr(layer, f"bias_{suffix}", None)
                uses.append(WeightUse(layer, weight, bias, vectors, added))
            return result
        with _constants(layer):
            output = forward(input, *args, **kwargs)
        added = zeros(output)
        bias = getattr(layer, "bias", None)
        uses.append(WeightUse(layer, layer.weight, bias, input.detach(), added))
        return output + added

    with replaced_forward(layers, call):
        yield uses


@contextmanager
def _constants(layer: nn.Module) -> Iterator[None]:
    """A layer whose parameters are outside the autograd graph."""
    own = layer._parameters
    constant = {name: p if p is None else p.detach() for name, p in own.items()}
    vars(layer)["_parameters"] = constant
    try:
        yield
    finally:
        vars(layer)["_parameters"] = own


def in_graph(logits: Tensor, parameters: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the parameters with uses that were not noted."""
    if not logits.requires_grad or not parameters:
        return []
    found = torch.autograd.grad(
        logits.sum(), list(parameters.values()), retain_graph=True, allow_unused=True
    )
    return [name for name, g in zip(parameters, found, strict=True) if g is not None]


def backward(
    logits: Tensor, uses: Sequence[WeightUse], vectors: Iterable[Tensor]
) -> Iterator[tuple[Tensor, ...]]:
    """Yield, for each vector (N, C), the gradients by the results of the uses, samples first."""
    zeros = [use.zeros for use in uses]
    for vector in vectors:
        yield torch.autograd.grad(
            logits, zeros, vector.to(logits), retain_graph=True, materialize_grads=True
        )
