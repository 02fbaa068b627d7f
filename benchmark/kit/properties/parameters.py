"""Training moves the parameters of the current model and no others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import CLASSES, FEATURES, HIDDEN, bank
from palimpsest.benchmark.kit.program import WITH_MOMENTS, optimizers_of, program, state
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies.base.hooks import Optimizes

_LATER_AND_LATER = (0, *(1, 2) * 3)
"""What is trained: what counts the last models alone has to leave out the first one's data."""


class _PartlyTrained(nn.Module):
    """A network with a layer that is frozen and one that no forward pass uses."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(FEATURES, HIDDEN).requires_grad_(False)
        self.head = nn.Linear(HIDDEN, CLASSES)
        self.spare = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.frozen(x).tanh())
        return logits


class _Zeros:
    """The part of an Avalanche plugin that notes parameters whose gradient is zero.

    It skips those that the current model uses, and the first step of each training: there, the
    distance from the network's own outputs has a gradient of zero.
    """

    def __init__(self, model: ModelBank) -> None:
        self.found: dict[str, int] = {}
        self._model = model
        self._used: set[str] = set()
        self._steps = 0

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        self._used = set(self._model.parameters_of(strategy.experience.current_experience))
        self._steps = 0

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        self._steps += 1
        for name, parameter in strategy.model.named_parameters():
            gradient = None if name in self._used else parameter.grad
            if gradient is not None and self._steps > 1 and not gradient.any():
                self.found.setdefault(name, strategy.experience.current_experience)


@must_hold(
    "no gradient of zero",
    "What the loss of a step does not use has no gradient, not one of zero: momentum, weight "
    "decay and penalties move whatever has one.",
    "Samples of earlier models pass through the network and are then left out of the loss "
    "(choose them before the pass), or a penalty sums over what the model does not use.",
)
def _no_zeros(candidate: Candidate) -> str:
    model = bank()
    watch = _Zeros(model)
    trained = program(candidate, model, value=telling_or_default(candidate), watchers=[watch])
    for i in _LATER_AND_LATER:
        trained.run([i], reset=False)
        for name, model_trained in watch.found.items():
            raise BrokenError(
                f"{name} has a gradient of zero while model {model_trained + 1} trains"
            )
    return "none has a gradient of zero, also long after its own model was trained"


@must_hold(
    "unused parameters stay",
    "Parameters that the current model does not use never move, with momentum, Adam and "
    "weight decay.",
    "A penalty over all named parameters gives those without a gradient one of zero, or pulls "
    "them to their anchors; let it act only where grad is not None.",
)
def _unused_stay(candidate: Candidate) -> str:
    if candidate.facts.moves_unused:
        raise NotApplicableError("it moves them by design")
    value = telling_or_default(candidate)
    for optimizer in optimizers_of(candidate, WITH_MOMENTS):
        model = bank()
        trained = program(candidate, model, value=value, optimizer=optimizer)
        before = state(model)
        for i in range(len(trained.train)):
            after = trained.run([i], reset=False)
            used = model.parameters_of(i)
            unused = [name for name in before if name in after and name not in used]
            gaps = {name: (after[name] - before[name]).abs().max().item() for name in unused}
            worst = max(gaps, key=lambda name: gaps[name], default="")
            if gaps.get(worst, 0) > 0:
                raise BrokenError(
                    f"{optimizer}: {worst} moved by {gaps[worst]:.2g} while model {i + 1} trained"
                )
            before = after
    if candidate.has(Optimizes):
        return "none moved, behind its own optimizer"
    return "none moved, with momentum and Adam, weight decay and an optimizer that is kept"


@must_hold(
    "no gradient is handled",
    "Frozen parameters and those outside the forward pass raise nothing and stay.",
    "param.grad is used without asking whether it is None.",
)
def _without_gradient(candidate: Candidate) -> str:
    value = telling_or_default(candidate)
    for optimizer in optimizers_of(candidate, WITH_MOMENTS):
        model = _PartlyTrained()
        trained = program(candidate, model, value=value, optimizer=optimizer, models=2)
        states = [state(model), trained.run([0], reset=False), trained.run([1], reset=False)]
        moved = [
            name
            for before, after in pairwise(states)
            for name in before
            if name in after and not torch.equal(before[name], after[name])  # what is added is new
        ]
        wrong = [name for name in moved if not name.startswith("head.")]
        if wrong:
            raise BrokenError(f"{optimizer}: {wrong[0]} moved, which has no gradient")
        if not moved and states[0].keys() == states[-1].keys():
            raise BrokenError(f"{optimizer}: nothing was trained")
    return "trained around a frozen layer and one that the forward pass does not use"
