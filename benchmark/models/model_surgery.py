"""Makes networks from others: the same modules, some of them exchanged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from palimpsest.benchmark.models.anatomy import statistics


def exchanged(module: nn.Module, others: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Return a module with others in place of some of its descendants.

    Modules that contain none of these are the same objects in both. Modules that contain one are
    copied, with the same parameters and buffers.
    """
    return _exchanged(module, dict(others))


def _exchanged(module: nn.Module, known: dict[nn.Module, nn.Module]) -> nn.Module:
    if module not in known:
        children = {name: child for name, child in module._modules.items() if child is not None}
        new = {name: _exchanged(child, known) for name, child in children.items()}
        known[module] = module
        if any(new[name] is not child for name, child in children.items()):
            known[module] = _copy(module)
            known[module]._modules.update(new)
    return known[module]


def with_own_statistics(module: nn.Module) -> dict[nn.Module, nn.Module]:
    """Return copies of the normalisation layers of a module, for ``exchanged``.

    They have the same weights, and running statistics of their own.
    """
    found = {}
    for layer in statistics(module):
        found[layer] = _copy(layer)
        for name, buffer in layer._buffers.items():
            found[layer]._buffers[name] = None if buffer is None else buffer.clone()
    return found


def new_head(head: nn.Module, n_classes: int) -> nn.Module:
    """Return a new output layer like a given one, for another number of classes.

    It is initialised from torch's global generator, in the type of the given one's weights.
    """
    own: dict[str, Any] = {"bias": head.bias is not None, "dtype": head.weight.dtype}
    if isinstance(head, nn.Conv2d):
        return nn.Conv2d(
            head.in_channels,
            n_classes,
            head.kernel_size,  # type: ignore[arg-type]
            head.stride,  # type: ignore[arg-type]
            head.padding,  # type: ignore[arg-type]
            head.dilation,  # type: ignore[arg-type]
            padding_mode=head.padding_mode,
            **own,
        )
    assert isinstance(head, nn.Linear)
    return nn.Linear(head.in_features, n_classes, **own)


_DICTIONARIES = [name for name, value in vars(nn.Module()).items() if isinstance(value, dict)]
"""The attributes of a module that are dictionaries: parameters, buffers, children, hooks."""


def _copy(module: nn.Module) -> nn.Module:
    """Return a copy with the same parameters, buffers and children, in tables of its own."""
    copied = copy.copy(module)
    for name in _DICTIONARIES:
        vars(copied)[name] = copy.copy(vars(module)[name])
    return copied
