"""What importances may depend on."""

from __future__ import annotations

from benchmark.kit.candidate import Candidate
from benchmark.kit.models import SAMPLES, shared_bank
from benchmark.kit.program import BATCH, State, distance, program, same
from benchmark.kit.properties.strength import telling_strength
from benchmark.kit.property import BrokenError, NotApplicableError, Property

_TOLERANCE = 0.02


def _second_model(candidate: Candidate, strength: float | None, batch_size: int) -> State:
    """Train the second model after a first one with learning rate 0: only importance differs."""
    trained = program(
        candidate, shared_bank(), strength=strength, models=2, first_batch=batch_size, epochs=6
    )
    groups = trained.strategy.optimizer.param_groups
    rates = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = 0.0
    trained.run([0])
    for group, rate in zip(trained.strategy.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    return trained.run([1])


def _independent_of_batch_size(candidate: Candidate) -> str:
    if candidate.dial is None:
        raise NotApplicableError("it has no strength to multiply an importance with")
    if candidate.online:
        raise NotApplicableError("it is gathered from the batches of training, as declared")
    strength = telling_strength(candidate)
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


PROPERTIES = (
    Property(
        "importance ignores the batch size",
        "At the same weights and data the importance is the same, whatever the training batch.",
        "The gradient of a batch's mean loss is squared: it shrinks with the batch. Square each "
        "sample's gradient (strategies.fisher does, all samples at once).",
        _independent_of_batch_size,
    ),
)
