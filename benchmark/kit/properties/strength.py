"""What the dial does: nothing at 0, and protection further up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from benchmark.kit.candidate import Candidate
from benchmark.kit.models import bank, ordinary, shared_bank
from benchmark.kit.program import WITH_MOMENTS, State, distance, program, same
from benchmark.kit.property import BrokenError, NotApplicableError, Property

STRENGTHS = [10.0**power for power in range(-2, 9)]
_EPOCHS = 12
_PROTECTED, _HALF_WAY = 0.2, 0.3


@dataclass(frozen=True)
class Effect:
    """What a strength does to two models that are trained in turn.

    Attributes:
        strength: The dial; ``None`` where there is none.
        weights: In the end.
        rise: Of the first model's loss while the second trains.
    """

    strength: float | None
    weights: State
    rise: float


def _effect(candidate: Candidate, strength: float | None, *, fine_tuning: bool = False) -> Effect:
    trained = program(
        candidate,
        shared_bank(),
        strength=strength,
        fine_tuning=fine_tuning,
        epochs=_EPOCHS,
        models=2,
    )
    after_first: list[float] = []
    weights = trained.run(after_each=lambda i: after_first.append(trained.losses()[0]))
    return Effect(strength, weights, after_first[1] - after_first[0])


@cache
def effects(candidate: Candidate) -> tuple[Effect, list[Effect]]:
    """Return fine-tuning, and the candidate over its strengths, those that are finite."""
    plain = _effect(candidate, None, fine_tuning=True)
    strengths = STRENGTHS if candidate.dial else [None]
    seen = []
    for strength in strengths:
        with suppress(BrokenError):  # it diverges, as a penalty that is added to the gradient does
            seen.append(_effect(candidate, strength))
    return plain, seen


def telling_strength(candidate: Candidate) -> float | None:
    """Return a strength that has an effect, without freezing everything.

    Raises:
        NotApplicableError: None has.
    """
    plain, seen = effects(candidate)
    different = [e for e in seen if not same(e.weights, plain.weights)]
    if not different:
        raise NotApplicableError("no strength has an effect")
    for effect in different:
        if effect.rise < (1 - _HALF_WAY) * plain.rise:
            return effect.strength
    return different[-1].strength


def strength_or_default(candidate: Candidate) -> float | None:
    """Return a strength that has an effect, or ``None`` (the default one) where none has."""
    try:
        return telling_strength(candidate)
    except NotApplicableError:
        return None


def _zero_is_fine_tuning(candidate: Candidate) -> str:
    if candidate.dial is None:
        raise NotApplicableError("it has no strength")
    for model in (ordinary, bank):
        for optimizer in WITH_MOMENTS:
            own = program(candidate, model(), strength=0.0, optimizer=optimizer).run()
            plain = program(candidate, model(), fine_tuning=True, optimizer=optimizer).run()
            if not same(own, plain):
                kind = "a model bank" if model is bank else "an ordinary model"
                raise BrokenError(
                    f"{kind}, {optimizer}: weights differ by up to {distance(own, plain):.2g}"
                )
    return "equal bit for bit, on a bank and an ordinary model, with momentum and Adam"


def _protects(candidate: Candidate) -> str:
    if not candidate.protects:
        raise NotApplicableError("fine-tuning protects nothing")
    plain, seen = effects(candidate)
    if not seen:
        raise BrokenError("weights are NaN or infinite at every strength")
    if all(same(effect.weights, plain.weights) for effect in seen):
        top = f"strength {seen[-1].strength:g}" if candidate.dial else "it"
        raise BrokenError(f"{top} gives the weights of fine-tuning, bit for bit")
    best = min(seen, key=lambda effect: effect.rise)
    at = "" if best.strength is None else f" at strength {best.strength:g}"
    told = (
        f"the first model's loss changes by {_told(best.rise)}{at}, by {_told(plain.rise)} without"
    )
    if not best.rise < (1 - _PROTECTED) * plain.rise:
        raise BrokenError(told)
    return told


def _told(rise: float) -> str:
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
