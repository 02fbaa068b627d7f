"""Finds the blocks of a network, in the order of use, and its head, by running it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.models import MultiTaskModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from palimpsest.benchmark.errors import UserError, nearest, quoted

_HEADS = {nn.Linear, nn.Conv2d}
_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def taken(model: nn.Module, x: Tensor) -> Tensor:
    """Return inputs in the type of a model's first weights."""
    if not x.is_floating_point():
        return x
    weights = _first_weights(model)
    return x if weights is None else x.to(weights.dtype)


def _first_weights(module: nn.Module) -> Tensor | None:
    """Return the first floating parameter: ``parameters()`` takes long to begin, in each step."""
    for parameter in module._parameters.values():
        if parameter is not None and parameter.is_floating_point():
            return parameter
    for child in module._modules.values():
        found = None if child is None else _first_weights(child)
        if found is not None:
            return found
    return None


def check_kind(model: nn.Module, name: str, precision: str = "float32") -> None:
    """Refuse a model of a kind that cannot be trained.

    Args:
        model: A network, or a bank.
        name: Its name, for messages.
        precision: Of its training; autocast to bfloat16 does not change weights of float64.

    Raises:
        UserError: It is scripted, or has parameters of another type than float32 and float64; in
            bfloat16, than float32.
    """
    for place, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            what = f"its module {place!r}" if place else "it"
            raise UserError(
                f"{name}: {what} is scripted (torch.jit), so that its parts can be neither shared "
                "nor watched; give the module that was scripted"
            )
    expected = "torch.float32 or torch.float64"
    if precision == "bfloat16":
        expected = "torch.float32 with precision: bfloat16"
    for place, parameter in model.named_parameters():
        numbers = parameter.is_floating_point() or parameter.is_complex()
        if numbers and str(parameter.dtype) not in expected.split():
            half = parameter.itemsize < torch.float32.itemsize
            hint = "; to train in half precision, say precision: bfloat16 as well" if half else ""
            raise UserError(
                f"{name}: its parameter {place!r} is of type {parameter.dtype}; expected {expected}"
                f"{hint}"
            )


@dataclass(frozen=True)
class Anatomy:
    """The parts of a network, as they are run.

    Attributes:
        head: The name of its output layer, linear or a convolution.
        blocks: The names of its other child modules that have weights, in the order of use. Of a
            ``Sequential`` of several layers, and of the module that the head is in, its children.
        called: The names of all modules that were run.
    """

    head: str
    blocks: tuple[str, ...]
    called: frozenset[str]

    def chosen(self, network: nn.Module, of: int | tuple[str, ...], name: object) -> list[str]:
        """Return the names of the modules that a setting ``shared`` chooses.

        Args:
            network: The network.
            of: How many of the first blocks; or names of modules, such as ``layer1.0``.
            name: The network's name, for the message.

        Raises:
            UserError: There are fewer blocks, or a name is wrong.
        """
        listed = ", ".join(self.blocks)
        if isinstance(of, int):
            if of > len(self.blocks):
                raise UserError(
                    f"shared is {of}, but {name} has only {len(self.blocks)} blocks before its "
                    f"head: {listed}"
                )
            return list(self.blocks[:of])
        modules = dict(network.named_modules())
        for each in of:
            if each not in modules or not each:
                hint = nearest(each, modules.keys() - {""})
                hint = hint if hint.startswith("did") else "expected names of modules"
                raise UserError(
                    f"shared: {name} has no child module {each!r}; {hint} (its blocks: {listed})"
                )
            if each == self.head or self.head.startswith(f"{each}."):
                raise UserError(
                    f"shared: {each!r} is or holds the head of {name} ({self.head}), of which each "
                    f"model has its own; share others (its blocks: {listed})"
                )
            if next(modules[each].parameters(), None) is None:
                raise UserError(f"shared: {each!r} of {name} has no weights (its blocks: {listed})")
        return [own for own in dict.fromkeys(of) if not any(own.startswith(f"{o}.") for o in of)]


def examine(network: nn.Module, input_shape: tuple[int, int, int], name: object) -> Anatomy:
    """Find the parts of a network: run it on two random images, in evaluation and in training.

    Its modes and buffers stay as they are.

    Args:
        network: From images (N, C, H, W) to logits (N, classes).
        input_shape: Channels, height and width.
        name: Its name, for messages.

    Raises:
        UserError: It does not take such images, changes them, does not return logits, or its last
            layer with weights cannot be replaced.
    """
    if isinstance(network, MultiTaskModule):
        raise UserError(
            f"network {name}: it has heads for tasks of its own; name one without, the scenario "
            "makes the heads"
        )
    order: list[nn.Module] = []
    with _hooked(network, order), _outputs(network) as found:
        logits = _run(network, input_shape, name)
    names = {module: own for own, module in network.named_modules()}
    last = next((m for m in reversed(order) if next(m.parameters(False), None) is not None), None)
    expected = (
        "expected an nn.Linear, or an nn.Conv2d of one group, whose outputs are the logits; no "
        "subclass, and no hooks"
    )
    if last is None or not _is_head(last, logits) or not names[last]:
        told = "it has no layer with weights" if last is None else (
            f"its last layer with weights is {names[last] or 'the network'!r} "
            f"({type(last).__name__})"
        )  # fmt: skip
        raise UserError(f"network {name} has no head that can be cut: {told}; {expected}")
    head = names[last]
    for mode in ("", "in training "):
        if mode:
            with _in_training(network), _outputs(network) as found:
                logits = _run(network, input_shape, name)
        if not _are_logits(found.get(last, []), logits):
            times = len(found.get(last, []))
            told = "goes on after it" if times == 1 else f"runs it {times} times"
            raise UserError(
                f"network {name} has no head that can be cut: its last layer with weights is "
                f"{head!r}, and {mode}the network {told}; {expected}"
            )
    places = {names[module]: place for place, module in reversed([*enumerate(order)])}
    blocks = sorted(_blocks(network, head), key=lambda own: places.get(own, len(order)))
    return Anatomy(head, tuple(blocks), frozenset(places))


def statistics(module: nn.Module) -> list[nn.Module]:
    """Return the normalisation layers in a module that have running statistics."""
    return [m for m in module.modules() if isinstance(m, _NormBase) and m.running_mean is not None]


def check(
    network: nn.Module, input_shape: tuple[int, int, int], n_classes: int, name: object
) -> set[nn.Module]:
    """Run a model whose modules were exchanged, and return the modules that it uses.

    Raises:
        UserError: It does not return logits (N, n_classes).
    """
    order: list[nn.Module] = []
    with _hooked(network, order):
        logits = _run(network, input_shape, name)
    if logits.shape[1] != n_classes:
        raise UserError(
            f"network {name} has no head that can be cut: with one of {n_classes} classes in its "
            f"place it returns {logits.shape[1]} outputs"
        )
    return set(order)


def _run(network: nn.Module, input_shape: tuple[int, int, int], name: object) -> Tensor:
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    version = images._version
    mode = "in training " if network.training else ""
    try:
        with torch.no_grad():
            logits = network(taken(network, images))
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"network {name} does not take images of shape {input_shape} (channels, height, width) "
            f"{mode}({reason})"
        ) from error
    if images._version != version:  # the data, and the batch that a strategy uses once more
        raise UserError(
            f"network {name} changes its images {mode}in place, and others use them after it; "
            "expected it to leave them as they are: x = x * 2, not x.mul_(2), in its first step"
        )
    if not isinstance(logits, Tensor):
        raise UserError(
            f"network {name}: {mode}expected logits (N, classes), got {quoted(type(logits))}"
        )
    if logits.ndim != 2 or len(logits) != 2:
        raise UserError(
            f"network {name}: expected logits (N, classes), for two images of shape {input_shape} "
            f"got a tensor of shape {tuple(logits.shape)}"
        )
    return logits


@contextmanager
def _hooked(network: nn.Module, order: list[nn.Module]) -> Iterator[None]:
    """Set evaluation mode, and add the modules that are run, in the order they begin."""
    modes = {module: module.training for module in network.modules()}

    def note(module: nn.Module, *_: Any) -> None:
        order.append(module)

    network.eval()
    handles = [module.register_forward_pre_hook(note) for module in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _outputs(network: nn.Module) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Collect the outputs of each linear layer and convolution."""
    found: dict[nn.Module, list[Tensor]] = {}

    def note(layer: nn.Module, _: Any, output: Tensor) -> None:
        found.setdefault(layer, []).append(output.clone())  # what follows may change it in place

    layers = [module for module in network.modules() if type(module) in _HEADS]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _in_training(network: nn.Module) -> Iterator[None]:
    """Set training mode; modes and buffers are restored afterwards."""
    modes = {module: module.training for module in network.modules()}
    saved = {buffer: buffer.clone() for buffer in network.buffers()}
    network.train()
    try:
        yield
    finally:
        for buffer, value in saved.items():
            buffer.copy_(value)
        for module, mode in modes.items():
            module.training = mode


def _is_head(layer: nn.Module | None, logits: Tensor) -> bool:
    """Whether a new layer of its type can replace it, for another number of classes."""
    if layer is None or layer._forward_hooks or layer._forward_pre_hooks:
        return False
    if type(layer) not in _HEADS:
        return False
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.out_channels == logits.shape[1]
    return bool(layer.out_features == logits.shape[1])


def _are_logits(outputs: list[Tensor], logits: Tensor) -> bool:
    """Whether logits (N, classes) are the only output of the head, or its mean or maximum.

    The output is (N, classes), (N, classes, height, width) or (N, places, classes).
    """
    if len(outputs) != 1:
        return False
    (output,) = outputs
    if output.shape == logits.shape:
        return torch.equal(output, logits) or bool(output.isnan().any())
    places = output.flatten(2) if output.ndim == 4 else output.flatten(1, -2).movedim(1, -1)
    ways = (places.mean(-1), places.relu().mean(-1), places.amax(-1), places[..., 0])
    return any(way.shape == logits.shape and torch.allclose(way, logits) for way in ways)


def _blocks(module: nn.Module, head: str, prefix: str = "") -> Iterator[str]:
    for own, child in module.named_children():
        name = f"{prefix}{own}"
        if name == head or next(child.parameters(), None) is None:
            continue
        if head.startswith(f"{name}.") or _is_row(child):
            yield from _blocks(child, head, f"{name}.")
        else:
            yield name


def _is_row(module: nn.Module) -> bool:
    """Whether a module is a sequence of several layers, normalisation not counted."""
    if type(module) is not nn.Sequential:
        return False
    layers = [m for m in module if next(m.parameters(), None) is not None]
    return sum(not isinstance(layer, _NORMS) for layer in layers) > 1
