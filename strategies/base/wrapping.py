"""Layers of a network that are replaced by wrappers around them.

(``torch.nn.utils.parametrize`` changes a weight without a wrapper, but what it changes cannot be
pickled, and so not be part of a checkpoint.)
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from avalanche.models import DynamicModule
from avalanche.models.utils import is_multi_task_module
from torch import nn

Wrapper = TypeVar("Wrapper", bound=nn.Module)


def wrap(
    model: nn.Module, kind: type[Wrapper], make: Callable[[nn.Module], Wrapper | None]
) -> list[Wrapper]:
    """Replace layers by wrappers, but for heads that grow.

    Args:
        model: The network, changed in place.
        kind: Of the wrappers; what is inside one already stays as it is.
        make: Returns the wrapper of a layer, or ``None`` for a module that stays.

    Returns:
        The new wrappers.
    """
    new = []
    for parent in list(model.modules()):
        grows = isinstance(parent, DynamicModule) and not is_multi_task_module(parent)
        if isinstance(parent, kind) or grows:
            continue
        for name, child in list(parent.named_children()):
            wrapper = make(child)
            if wrapper is not None:
                new.append(wrapper.train(child.training))
                setattr(parent, name, wrapper)
    return new


def wrapped(model: nn.Module, kind: type[Wrapper]) -> dict[str, Wrapper]:
    """Return the wrappers of a kind in a network, by name."""
    return {name: own for name, own in model.named_modules() if isinstance(own, kind)}


def places(model: nn.Module) -> Counter[int]:
    """Return at how many places in a network each parameter is, by its ``id``."""
    return Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))


def in_several_places(model: nn.Module) -> set[str]:
    """Return the names of the parameters that are at several places in a network."""
    count = places(model)
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if count[id(parameter)] > 1}
