"""A scenario, ready to run: Avalanche experiences and the bank of models that learn them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.schedule import Schedule

OfOutputs = Callable[[Tensor, Tensor], Tensor]
"""A function of a batch's outputs and targets."""


def right_class(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return where the largest of logits (N, ..., classes) is that of the target (N, ...).

    Returns:
        Booleans of the targets' shape; an accuracy counts all of them, such as each token of a
        text.
    """
    return outputs.argmax(dim=-1) == targets


@dataclass(frozen=True)
class Scenario:
    """Experiences in order, and how long each model trains on its own.

    Attributes:
        model: The bank; model i learns experience i.
        train: Avalanche experiences with the training data.
        validation: The held-out part of the training data, for choosing settings and stopping.
        test: For the reported numbers only.
        curve_data: What curves are measured on, such as test experiences with fewer samples.
        steps: Optimizer steps of each model, at most.
        targets: Validation accuracy at which a model's training ends early, or ``None``.
        loss: The training loss, a mean over the batch.
        right: Whether each prediction that counts is right, as booleans; their mean is the
            accuracy. Targets that do not count (padding) are left out.
        schedule: The scenario's own schedule, in place of training the models in turn.
        search: The plan of a search, if the models are architectures of a supernet.
        classes: The names of the classes of each experience, where they are known.
    """

    model: ModelBank
    train: list[Any]
    validation: list[Any]
    test: list[Any]
    curve_data: list[Any]
    steps: list[int]
    targets: list[float | None]
    loss: OfOutputs = field(default_factory=nn.CrossEntropyLoss)
    right: OfOutputs = right_class
    schedule: Schedule | None = None
    search: object | None = None
    classes: tuple[tuple[str, ...], ...] = ()

    @property
    def told(self) -> dict[str, list[list[str]]]:
        """The classes of each experience, for the store; empty if all have the same ones.

        They are in the order of their labels; a class without a known name is called by its label.
        """
        own = self.classes or tuple(
            tuple(map(str, sorted(getattr(experience, "classes_in_this_experience", ()))))
            for experience in self.train
        )
        return {"classes": [list(names) for names in own]} if len({*own}) > 1 else {}
