"""A mask on updates: what a step may change of each weight, whatever the optimizer.

A gradient that is scaled is not a step that is scaled: behind Adam its size does not matter, and
momentum and weight decay move a weight without any. So a mask acts on the step itself. With theta
before a step of the optimizer and theta' after it, a weight that is held by h in [0, 1] ends at::

    theta' + h (theta - theta')

which is theta' for h = 0 and theta for h = 1, bit for bit. Published methods scale the gradient
instead, which is the same behind plain SGD without weight decay; it can be asked for.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import SGD

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.settings import StrategySettings
from palimpsest.strategies.base.sparse import changing_gradients
from palimpsest.strategies.base.used_parameters import NotesUse


class MaskSettings(StrategySettings):
    """The settings of every strategy that holds parameters back."""

    scales: Literal["update", "gradient"] = Field(
        "update",
        description="What is scaled. 'update': each step, so that it means the same behind every "
        "optimizer. 'gradient': the gradient, as published; behind SGD without momentum and weight "
        "decay alone, which move a weight without any.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Add that ``scales: gradient`` needs plain SGD."""
        return facts.needing(sgd="scales: gradient") if self.scales == "gradient" else facts


class MaskedUpdates(NotesUse):
    """A plugin that holds parameters back, each element by a share of its own.

    Subclasses say by how much in ``holds``. Parameters without a gradient are not touched.

    """

    Settings = MaskSettings
    settings: MaskSettings
    holds_anew: ClassVar[bool] = False
    """Whether what is held is another thing in each step."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._held: list[tuple[Parameter, Tensor]] = []
        self._before: list[Tensor] = []

    @abstractmethod
    def holds(self, used: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return by how much parameters are held in this training.

        Args:
            used: Those that have a gradient now. It is asked again whenever these change, and in
                each step where ``holds_anew`` says so.

        Returns:
            Shares from 0 (free) to 1 (held) that broadcast to the parameters' shapes, by name;
            those that are left out are free, and so is what has grown since.
        """

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return 1 minus what a later model that uses all parameters finds held, on average.

        A subclass of which more is held for some models than for others has to say it otherwise.
        """
        parameters = dict(model.named_parameters())
        return {
            name: 1 - _over(hold, parameters[name].shape).double().mean().item()
            for name, hold in self.holds(parameters).items()
        }

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Look up the parameters.

        Raises:
            ValueError: Gradients are to be scaled, and the optimizer's steps do not follow their
                size.
        """
        super().before_training_exp(strategy, *arguments, **keywords)
        if self.settings.scales == "gradient" and not _follows_gradients(strategy.optimizer):
            raise ValueError(
                "scales: gradient: only the steps of SGD without momentum and weight decay follow "
                f"the gradient, and the optimizer is {type(strategy.optimizer).__name__}; say "
                "scales: update, or take such an SGD"
            )
        self._held = []

    def after_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Keep what later trainings need, and nothing else."""
        super().after_training_exp(strategy, *arguments, **keywords)
        self._held = []

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the values before the step, or scale the gradients."""
        if self.note_gradients() or self.holds_anew:
            used = {n: p for n, p in self._parameters.items() if p.grad is not None}
            self._held = [
                (used[name], _over(hold.to(used[name]), used[name].shape))
                for name, hold in self.holds(used).items()
            ]
        if self.settings.scales == "gradient":
            parameters = [parameter for parameter, _ in self._held]
            with changing_gradients(parameters) as gradients:
                for gradient, (_parameter, hold) in zip(gradients, self._held, strict=True):
                    gradient.mul_(1 - hold)
        else:
            self._before = [parameter.detach().clone() for parameter, _ in self._held]

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take back what is held of the step."""
        if self._before:
            parameters = [parameter.detach() for parameter, _ in self._held]
            torch._foreach_lerp_(parameters, self._before, [hold for _, hold in self._held])
        self._before = []


def _follows_gradients(optimizer: Any) -> bool:
    """Whether a gradient of zero is no step."""
    return isinstance(optimizer, SGD) and not any(
        group["momentum"] or group["weight_decay"] for group in optimizer.param_groups
    )


def _over(hold: Tensor, shape: torch.Size) -> Tensor:
    """Return shares over a whole parameter, 0 where it has grown."""
    if hold.ndim == len(shape):
        known = [s if h == 1 else h for h, s in zip(hold.shape, shape, strict=True)]
        return fitted(hold.expand(known), shape)
    return hold.expand(shape)
