"""The model bank: several models in one module, sharing some of their blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from avalanche.models import MultiTaskModule
from torch import Tensor, nn

from palimpsest.benchmark.models.anatomy import statistics, taken


class ModelBank(MultiTaskModule):
    """Models that share blocks; model i answers to task label i.

    It is a multi-task module of Avalanche, so that Avalanche's own strategies and metrics work
    unchanged. All parameters exist from the start: adapting to an experience allocates nothing, and
    evaluation cannot change the model. Inputs are converted to the type of its weights, float32 or
    float64.

    Args:
        blocks: The modules by name (without dots).
        paths: For each model the names of its blocks, in the order they are applied.
        n_classes: Columns of the largest output.

    Attributes:
        widths: The number of classes of a model's outputs, by task label, for models that have
            run in a batch with a label for each sample.
        of_blocks: Whether each model is a sequence of blocks, and not a whole network.
    """

    of_blocks: ClassVar[bool] = True

    def __init__(
        self, blocks: Mapping[str, nn.Module], paths: Sequence[Sequence[str]], n_classes: int
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(blocks)
        self.paths = tuple(tuple(path) for path in paths)
        self.max_class_label = n_classes
        self.widths: dict[int, int] = {}
        self.known_train_tasks_labels = set(range(len(self.paths)))

    def forward(self, x: Tensor, task_labels: int | Tensor | None) -> Tensor:
        """Run the model of each input; outputs of fewer classes than the largest end in zeros.

        These zeros are no classes: `palimpsest.strategies.base.likelihood.loss_of` leaves them out.

        Args:
            x: Inputs (N, ...).
            task_labels: One for all inputs, or one for each (N,); ``None`` for the outputs of all
                models.

        Returns:
            Outputs (N, ..., classes), such as logits (N, classes), or of tokens (N, L, classes).
        """
        every: Tensor | None = None
        if isinstance(task_labels, Tensor):
            for label in torch.unique(task_labels).tolist():
                own = task_labels == label
                found = self.forward_single_task(x[own], label)
                self.widths[label] = found.shape[-1]
                if every is None:
                    every = found.new_zeros(len(x), *found.shape[1:-1], self.max_class_label)
                every[own, ..., : found.shape[-1]] = found
        return super().forward(x, task_labels) if every is None else every

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Run model ``task_label`` on inputs (N, ...); returns its outputs (N, ..., classes)."""
        x = taken(self, x)
        for name in self.paths[task_label]:
            x = self.blocks[name](x)
        return x

    def forward_each(self, x: Tensor, task_labels: Sequence[int]) -> list[Tensor]:
        """Run several models on the same inputs (N, ...), each block once for all that start alike.

        They run one after another where a subclass runs them in another way, or a block changes its
        input in place.

        Returns:
            The outputs of ``forward_single_task`` for each model.
        """
        own = type(self)
        if (own.forward, own.forward_single_task) != (
            ModelBank.forward,
            ModelBank.forward_single_task,
        ):
            return [self(x, label) for label in task_labels]
        after: dict[tuple[str, ...], Tensor] = {(): taken(self, x)}
        for path in (self.paths[label] for label in task_labels):
            for i, name in enumerate(path):
                if path[: i + 1] not in after:
                    given = after[path[:i]]
                    version = given._version
                    after[path[: i + 1]] = self.blocks[name](given)
                    if given._version != version:
                        return [self(x, label) for label in task_labels]
        return [after[self.paths[label]] for label in task_labels]

    def adaptation(self, experience: object) -> None:
        """Do nothing: nothing grows."""

    def parameters_of(self, model: int) -> dict[str, nn.Parameter]:
        """Return the parameters that a model uses, by their name in the bank."""
        own = {p for name in self.paths[model] for p in self.blocks[name].parameters()}
        return {name: p for name, p in self.named_parameters() if p in own}

    def statistics_of(self, model: int) -> list[nn.Module]:
        """Return the normalisation layers whose running statistics a model's training changes."""
        return [layer for name in self.paths[model] for layer in statistics(self.blocks[name])]

    def shared_parameters_of(self, model: int) -> dict[str, nn.Parameter]:
        """Return the parameters that a model uses and some earlier model used, too."""
        earlier = {name for i in range(model) for name in self.parameters_of(i)}
        return {name: p for name, p in self.parameters_of(model).items() if name in earlier}
