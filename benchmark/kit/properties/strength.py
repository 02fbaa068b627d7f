"""What the dial does: nothing at 0, and protection at larger values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from torch import nn

from benchmark.kit.candidate import Candidate
from benchmark.kit.models import bank, ordinary, shared_bank
from benchmark.kit.program import (
    WITH_MOMENTS,
    State,
    distance,
    fine_tuning,
    program,
    programs,
    same,
)
from benchmark.kit.property import BrokenError, NotApplicableError, Property

STRENGTHS = [10.0**power for power in range(-2, 9)]
_EPOCHS = 6
_PROTECTED, _HALF_WAY = 0.2, 0.3


@dataclass(frozen=True)
class Effect:
    """What a strength does to two models that are trained in turn.

    Attributes:
        strength: The dial; ``None`` where there is none.
        weights: At the end.
        rise: Of the first model's loss while the second trains.
    """

    strength: float | None
    weights: State
    rise: float


@cache
def effect(candidate: Candidate, strength: float | None, optimizer: str = "SGD") -> Effect:
    """Train two models that share all but their heads; return what a strength does to them.

    Args:
        candidate: The strategy.
        strength: Its dial.
        optimizer: A name of ``OPTIMIZERS``.

    Raises:
        BrokenError: Weights are not finite.
    """
    trained = program(
        candidate, shared_bank(), strength=strength, optimizer=optimizer, epochs=_EPOCHS, models=2
    )
    after_first: list[float] = []
    weights = trained.run(after_each=lambda i: after_first.append(trained.losses()[0]))
    return Effect(strength, weights, after_first[1] - after_first[0])


def effects(candidate: Candidate) -> Iterator[Effect]:
    """Yield the effect of each strength, from the smallest, leaving out those that diverge."""
    for strength in STRENGTHS if candidate.dial else [None]:
        with suppress(BrokenError):  # it diverges, as a penalty that is added to the gradient does
            yield effect(candidate, strength)


def telling_strength(candidate: Candidate) -> float | None:
    """Return a strength that has an effect, without freezing everything.

    Raises:
        NotApplicableError: No strength has an effect.
    """
    plain, last = effect(fine_tuning(candidate), None), None
    for last in effects(candidate):
        if not same(last.weights, plain.weights) and last.rise < (1 - _HALF_WAY) * plain.rise:
            return last.strength
    if last is None or same(last.weights, plain.weights):
        raise NotApplicableError("no strength has an effect")
    return last.strength


def strength_or_default(candidate: Candidate) -> float | None:
    """Return a strength that has an effect, or ``None`` (the default one) if none has."""
    try:
        return telling_strength(candidate)
    except NotApplicableError:
        return None


@cache
def _weights(
    candidate: Candidate, make: Callable[[], nn.Module], optimizer: str, strength: float | None
) -> State:
    return program(candidate, make(), strength=strength, optimizer=optimizer, epochs=3).run()


def _zero_is_fine_tuning(candidate: Candidate) -> str:
    if candidate.dial is None:
        raise NotApplicableError("it has no strength")
    for place, own in programs(candidate).items():
        for make in (ordinary, bank):
            for optimizer in WITH_MOMENTS:
                zero = _weights(own, make, optimizer, 0.0)
                plain = _weights(fine_tuning(own), make, optimizer, None)
                if not same(zero, plain):
                    kind = "a model bank" if make is bank else "an ordinary model"
                    raise BrokenError(
                        f"{kind}, {optimizer}{place}: weights differ by up to "
                        f"{distance(zero, plain):.2g}"
                    )
    return (
        f"equal bit for bit, on a bank and an ordinary model, behind {len(WITH_MOMENTS)} optimizers"
    )


def _protects(candidate: Candidate) -> str:
    if not candidate.protects:
        raise NotApplicableError("fine-tuning protects nothing")
    plain, seen = effect(fine_tuning(candidate), None), list(effects(candidate))
    if not seen:
        raise BrokenError("weights are NaN or infinite at every strength")
    if all(same(effect.weights, plain.weights) for effect in seen):
        top = f"strength {seen[-1].strength:g}" if candidate.dial else "it"
        raise BrokenError(f"{top} gives the weights of fine-tuning, bit for bit")
    best = min(seen, key=lambda effect: effect.rise)
    at = "" if best.strength is None else f" at strength {best.strength:g}"
    rises = f"{_signed(best.rise)}{at}, by {_signed(plain.rise)} without"
    told = f"the first model's loss changes by {rises}"
    if not protected(best, plain):
        raise BrokenError(told)
    return told


def protected(own: Effect, plain: Effect) -> bool:
    """Whether the first model loses clearly less than by fine-tuning.

    Args:
        own: Of the strategy.
        plain: Of fine-tuning.
    """
    return own.rise < (1 - _PROTECTED) * plain.rise


def _signed(rise: float) -> str:
    return f"{round(rise, 2) + 0.0:+.2f}"  # no -0.00


PROPERTIES = (
    Property(
        "strength 0 is fine-tuning",
        "At strength 0 the weights are those of fine-tuning, bit for bit.",
        "The penalty is computed all the same: a gradient of zero replaces no gradient, so that "
        "momentum and weight decay act; or random numbers are drawn from the global generator.",
        _zero_is_fine_tuning,
    ),
    Property(
        "a large strength protects",
        "Some strength changes the training, and the earlier model loses less than by fine-tuning.",
        "Anchors or importances are views of the live weights (clone them), or importances are "
        "clipped, or stay zero.",
        _protects,
    ),
)
