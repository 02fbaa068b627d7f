"""Which parameters are moved: those of the current model, and no others."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmark.generators import seed_torch
from benchmark.kit.candidate import Candidate
from benchmark.kit.models import CLASSES, FEATURES, HIDDEN, bank
from benchmark.kit.program import WITH_MOMENTS, optimizers_of, program, state
from benchmark.kit.properties.strength import telling_or_default
from benchmark.kit.property import BrokenError, NotApplicableError, Property
from strategies.hooks import Optimizes


class _PartlyTrained(nn.Module):
    """A network with a layer that is frozen and one that no forward pass uses."""

    def __init__(self) -> None:
        super().__init__()
        seed_torch(0)
        self.frozen = nn.Linear(FEATURES, HIDDEN).requires_grad_(False)
        self.head = nn.Linear(HIDDEN, CLASSES)
        self.spare = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.frozen(x).tanh())
        return logits


def _unused_stay(candidate: Candidate) -> str:
    if candidate.moves_unused:
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


PROPERTIES = (
    Property(
        "unused parameters stay",
        "Parameters that the current model does not use never move, with momentum, Adam and "
        "weight decay.",
        "A penalty over all named parameters gives those without a gradient one of zero, or pulls "
        "them to their anchors; let it act only where grad is not None.",
        _unused_stay,
    ),
    Property(
        "no gradient is handled",
        "Frozen parameters and those outside the forward pass raise nothing and stay.",
        "param.grad is used without asking whether it is None.",
        _without_gradient,
    ),
)
