"""What the first model's training has changed, for other runs to take over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FirstModel:
    """What the first model's training has changed, right after its last step.

    Attributes:
        state: The changed parameters and buffers of the bank, by name.
        trained: Names of the parameters that had a gradient in some step.
        optimizer_state: The optimizer's state of each parameter, by the parameter's name.
        optimizer_options: Learning rate and the like of each of its groups.
        steps: How many steps it took.
        curve: The curve measured meanwhile, or ``None``.
    """

    state: dict[str, Tensor]
    trained: list[str]
    optimizer_state: dict[str, dict[str, Any]]
    optimizer_options: list[dict[str, Any]]
    steps: int
    curve: dict[str, Any] | None

    def fits(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
        """Whether a bank has everything that was changed, in the same shapes."""
        own = tensors_of(model)
        parameters = dict(model.named_parameters())
        shapes = all(n in own and own[n].shape == value.shape for n, value in self.state.items())
        named = {*self.trained, *self.optimizer_state} <= parameters.keys()
        return shapes and named and len(self.optimizer_options) == len(optimizer.param_groups)

    @torch.no_grad()
    def put_into(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Leave a bank and its optimizer as if they had done the training; return its steps.

        Later models' private parts stay as they are, and the parameters that were trained have a
        gradient of zero.
        """
        own = tensors_of(model)
        for name, value in self.state.items():
            own[name].copy_(value)
        for name, parameter in model.named_parameters():
            parameter.grad = torch.zeros_like(parameter) if name in self.trained else None
            if name in self.optimizer_state:
                optimizer.state[parameter] = dict(self.optimizer_state[name])
        for group, options in zip(optimizer.param_groups, self.optimizer_options, strict=True):
            group.update(options)
        return self.steps


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, also those that a state dict leaves out."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: value.detach() for name, value in named}
