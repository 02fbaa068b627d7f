"""The training's loss, for methods that treat outputs as logits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.strategies.base.network import replaced_forward


def loss_in(strategy: Any) -> Any:
    """Return the training loss of an Avalanche strategy; ``None`` where it has none."""
    return getattr(strategy, "_criterion", None)


def require_cross_entropy(loss: Any, method: str) -> None:
    """Refuse a training whose loss is not the cross-entropy of logits.

    Fisher information and distillation treat the softmax of the outputs as the probabilities that
    the training fits. With another loss they would silently compute something else.

    Args:
        loss: The training's; ``None`` where it is not known.
        method: The name of the method, for messages.

    Raises:
        ValueError: It says which loss was found, and what to do.
    """
    known = isinstance(loss, nn.CrossEntropyLoss) or loss is functional.cross_entropy
    if loss is not None and not known:
        name = getattr(loss, "__name__", type(loss).__name__)
        raise ValueError(
            f"{method} needs logits of shape (samples, classes) that are trained by cross-entropy, "
            f"and this training's loss is {name}; train with torch.nn.CrossEntropyLoss, or use a "
            "method that needs only gradients, such as l2, si, or wpl with fisher: training"
        )


def trained_outputs(strategy: Any, outputs: Tensor) -> Tensor:
    """Return outputs of any pass as far as the training's loss takes them.

    Args:
        strategy: The Avalanche strategy; plugins with ``cut_outputs`` cut those of later classes.
        outputs: (N, ..., classes).
    """
    for plugin in strategy.plugins:
        cut = getattr(plugin, "cut_outputs", None)
        outputs = outputs if cut is None else cut(outputs)
    return outputs


def loss_of(strategy: Any, outputs: Tensor, y: Tensor, labels: int | Tensor) -> Tensor:
    """Return the training's own loss, each sample's over the classes of its own model.

    In a batch of several models, the outputs of one with fewer classes end in zeros, which are no
    classes: the loss is the mean of the models' own, weighted by their samples.

    Args:
        strategy: The Avalanche strategy.
        outputs: (N, ..., classes).
        y: Targets (N, ...).
        labels: The task label of all samples, or of each (N,).
    """
    widths: dict[int, int] = getattr(strategy.model, "widths", {})
    all_wide = min(widths.values(), default=outputs.shape[-1]) >= outputs.shape[-1]
    if isinstance(labels, int) or all_wide:
        whole: Tensor = strategy._criterion(outputs, y)
        return whole
    total = outputs.new_zeros(())
    for label in torch.unique(labels).tolist():
        own = (labels == label).to(outputs.device)
        loss = strategy._criterion(outputs[own, ..., : widths[label]], y[own])
        total = total + own.sum() / len(y) * loss
    return total


@contextmanager
def as_trained(strategy: Any) -> Iterator[None]:
    """While it lasts, the model returns only those outputs that the training's loss takes.

    The Fisher information is that of the probabilities that the training fits. A softmax over the
    outputs of later classes, too, has others.

    Args:
        strategy: The Avalanche strategy, see ``trained_outputs``.
    """
    if not any(hasattr(plugin, "cut_outputs") for plugin in strategy.plugins):
        yield
        return

    def call(_: nn.Module, forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        return trained_outputs(strategy, forward(*args, **kwargs))

    with replaced_forward([strategy.model], call):
        yield
