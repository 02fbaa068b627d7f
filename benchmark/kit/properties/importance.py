"""Importances do not depend on the batch size."""

from __future__ import annotations

from typing import Any

import torch

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import SAMPLES, shared_bank
from palimpsest.benchmark.kit.program import BATCH, State, distance, program, same
from palimpsest.benchmark.kit.properties.strength import telling_value
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold

_TOLERANCE = 0.02


class _StandsStill:
    """The part of an Avalanche plugin that trains the first model at a learning rate of 0.

    The optimizer is the one that trains: with what the strategy has added to the model, or its own.
    """

    def __init__(self) -> None:
        self._rates: list[tuple[dict[str, Any], float]] = []

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        if strategy.experience.current_experience == 0 and not self._rates:
            groups = strategy.optimizer.param_groups
            if any("lr" not in group for group in groups):
                raise NotApplicableError("its optimizer has no learning rate that could be 0")
            self._rates = [(group, group["lr"]) for group in groups]
            for group in groups:
                group["lr"] = 0.0

    def after_training_exp(self, *_: Any, **__: Any) -> None:
        for group, rate in self._rates:
            group["lr"] = rate
        self._rates = []


def _second_model(candidate: Candidate, strength: float | None, batch_size: int) -> State:
    """Train the second model after a first one with learning rate 0: only importance differs."""
    trained = program(
        candidate,
        shared_bank(),
        value=strength,
        models=2,
        first_batch=batch_size,
        epochs=6,
        watchers=[_StandsStill()],
    )
    before = dict(trained.model.named_parameters())
    still = {name: value.detach().clone() for name, value in before.items()}
    trained.run([0])
    if not all(torch.equal(before[name], still[name]) for name in still):
        raise NotApplicableError("the first model moves at a learning rate of 0")
    trained.run([1])
    return trained.result()


@must_hold(
    "importance ignores the batch size",
    "At the same weights and data the importance is the same, whatever the training batch.",
    "The gradient of a batch's mean loss is squared: it shrinks with the batch. Square each "
    "sample's gradient (palimpsest.strategies.curvature.fisher does, all samples at once).",
)
def _independent_of_batch_size(candidate: Candidate) -> str:
    if candidate.strength is None:
        raise NotApplicableError("it has no strength to multiply an importance with")
    if candidate.facts.online:
        raise NotApplicableError("it is gathered from the batches of training, as declared")
    strength = telling_value(candidate)
    try:
        none = _second_model(candidate, 0.0, BATCH)
        single = _second_model(candidate, strength, 1)
        halves = _second_model(candidate, strength, SAMPLES // 2)
    except BrokenError as reason:
        raise NotApplicableError(f"where the first model stands still, {reason}") from None
    effect = max(distance(single, none), distance(halves, none))
    if same(single, none) and same(halves, none):
        raise NotApplicableError("its importance follows the path of the weights, which is none")
    gap = distance(single, halves)
    told = f"{gap / effect:.2g} of the penalty's effect"
    if gap > _TOLERANCE * effect:
        raise BrokenError(
            f"between batches of 1 and of {SAMPLES // 2} samples, at the same weights, the next "
            f"model differs by {told}"
        )
    return f"batches of 1 and of {SAMPLES // 2} samples differ by {told}"
