"""The effect of the dial: a strength does nothing at 0, and protects further up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from torch import nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank, ordinary, shared_bank
from palimpsest.benchmark.kit.program import (
    WITH_MOMENTS,
    Evaluated,
    State,
    apart,
    fine_tuning,
    program,
    programs,
    same,
)
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, WeakError, must_hold
from palimpsest.strategies.base.hooks import Adapts, Evaluates, Optimizes

STRENGTHS = [10.0**power for power in range(-2, 9)]
_EPOCHS = 6
_PROTECTED, _HALF_WAY = 0.2, 0.3


@dataclass(frozen=True)
class Effect:
    """The effect of a strategy on two models that are trained in turn.

    Attributes:
        value: Of its dial; ``None``: as it is set, or it has none.
        weights: At the end.
        outputs: Of both models at the end, as the strategy evaluates them.
        rise: Of the first model's evaluated loss while the second trains.
    """

    value: float | None
    weights: State
    outputs: State
    rise: float


@cache
def effect(candidate: Candidate, value: float | None, optimizer: str = "SGD") -> Effect:
    """Train two models that share all but their heads; return the effect of a strategy.

    Args:
        candidate: The strategy.
        value: Of its strength, or of its dial if that acts after training.
        optimizer: A name of ``OPTIMIZERS``.

    Raises:
        BrokenError: Weights are not finite.
    """
    trained = program(
        candidate, shared_bank(), value=value, optimizer=optimizer, epochs=_EPOCHS, models=2
    )
    found: list[Evaluated] = []
    weights = trained.run(after_each=lambda _: found.append(trained.evaluated()))
    before, after = found
    return Effect(value, weights, after.outputs, after.losses[0] - before.losses[0])


def effects(candidate: Candidate) -> Iterator[Effect]:
    """Yield the effects of a candidate where they are finite.

    Of a strength these are many values, from the smallest; of a dial that acts after training two,
    which are cheap in a suite, too; else the value that is set.
    """
    values: Sequence[float | None] = candidate.values if candidate.turns else [None]
    for value in STRENGTHS if candidate.strength else values:
        with suppress(BrokenError):  # it diverges, as a penalty that is added to the gradient does
            yield effect(candidate, value)


def idle(own: Effect, plain: Effect) -> bool:
    """Whether evaluation gives the same as fine-tuning.

    Weights do not tell: merging may train the same weights as fine-tuning, and evaluate others.
    """
    return same(own.outputs, plain.outputs)


def of_fine_tuning(own: Effect, plain: Effect) -> str:
    """Say what an idle strategy shares with fine-tuning."""
    what = "weights" if same(own.weights, plain.weights) else "outputs"
    return f"the {what} of fine-tuning, bit for bit"


def telling_value(candidate: Candidate) -> float | None:
    """Return a value of the dial that has an effect, a strength that does not freeze everything.

    Raises:
        NotApplicableError: No strength has an effect.
    """
    plain, last = effect(fine_tuning(candidate), None), None
    for last in effects(candidate):
        if not idle(last, plain) and last.rise < (1 - _HALF_WAY) * plain.rise:
            return last.value
    if last is None or idle(last, plain):
        strength = "no strength has an effect"
        raise NotApplicableError(strength if candidate.strength else "it has no effect")
    return last.value


def telling_or_default(candidate: Candidate) -> float | None:
    """Return a value that has an effect, or ``None`` (as it is set) if there is none."""
    try:
        return telling_value(candidate)
    except NotApplicableError:
        return None


@cache
def _end(
    candidate: Candidate,
    make: Callable[[], nn.Module],
    optimizer: str,
    value: float | None,
    evaluates: bool,
) -> State:
    """Return where a training ends: weights and, where that may be another thing, outputs."""
    trained = program(candidate, make(), value=value, optimizer=optimizer, epochs=3)
    weights = trained.run()
    return {**weights, **trained.evaluated().outputs} if evaluates else weights


@must_hold(
    "strength 0 is fine-tuning",
    "At strength 0 the weights are those of fine-tuning, bit for bit, and so is what is evaluated.",
    "The penalty is computed all the same: a gradient of zero replaces no gradient, so that "
    "momentum and weight decay act; or random numbers are drawn from the global generator.",
)
def _zero_is_fine_tuning(candidate: Candidate) -> str:
    if candidate.strength is None:
        raise NotApplicableError("it has no strength")
    return _is_fine_tuning(candidate, 0.0)


@must_hold(
    "an idle dial is fine-tuning",
    "Where a dial other than a strength has an idle end, such as a share of 0, the weights "
    "there are those of fine-tuning, bit for bit, and so is what is evaluated.",
    "A step is put back or projected although nothing is held, which may round it; or samples "
    "are drawn from the global generator; or Dial.idle is no such value.",
)
def _idle_is_fine_tuning(candidate: Candidate) -> str:
    dial = candidate.dial
    if dial is None:
        raise NotApplicableError(
            "it has no dial but a strength" if candidate.strength else "it has no dial"
        )
    if dial.idle is None:
        raise NotApplicableError(f"there is no {dial.name} that is said to be fine-tuning")
    idle = candidate.at(dial.idle)
    if idle is None:
        raise NotApplicableError(f"{dial.name} cannot be {dial.idle:g}")
    return _is_fine_tuning(idle, None)


def _is_fine_tuning(candidate: Candidate, value: float | None) -> str:
    if candidate.has(Optimizes):
        raise NotApplicableError("it has an update rule of its own, which fine-tuning has not")
    evaluates = candidate.has(Evaluates) or candidate.has(Adapts)
    for place, own in programs(candidate).items():
        for make in (ordinary, bank):
            for optimizer in WITH_MOMENTS:
                zero = _end(own, make, optimizer, value, evaluates)
                plain = _end(fine_tuning(own), make, optimizer, None, evaluates)
                both = zero.keys() & plain.keys() if candidate.has(Adapts) else zero.keys()
                zero = {name: zero[name] for name in both}
                if not same(zero, {n: plain[n] for n in plain if n in both}):
                    kind = "a model bank" if make is bank else "an ordinary model"
                    raise BrokenError(f"{kind}, {optimizer}{place}: {apart(zero, plain)}")
    return (
        f"equal bit for bit, on a bank and an ordinary model, behind {len(WITH_MOMENTS)} optimizers"
    )


@must_hold(
    "protects the earlier model",
    "At some strength what is evaluated differs from fine-tuning's, and the earlier model "
    "loses less. Without a strength this is asked at what the dial is set to; of one that acts "
    "after training, at two values. What differs and hardly helps is weak, not broken.",
    "Anchors or importances are views of the live weights (clone them), or importances are "
    "clipped, or stay zero; or nothing of the method is in force when a model is evaluated.",
)
def _protects(candidate: Candidate) -> str:
    if candidate.facts.role == "baseline":
        raise NotApplicableError("fine-tuning protects nothing")
    plain, seen = effect(fine_tuning(candidate), None), list(effects(candidate))
    if not seen:
        where = " at every strength" if candidate.strength else ""
        raise BrokenError(f"weights are NaN or infinite{where}")
    if all(idle(own, plain) for own in seen):
        top = candidate.setting(seen[-1].value) or "it"
        raise BrokenError(f"{top} gives {of_fine_tuning(seen[-1], plain)}")
    best = min(seen, key=lambda own: own.rise)
    setting = candidate.setting(best.value)
    at = f" at {setting}" if setting else ""
    rises = f"{_signed(best.rise)}{at}, by {_signed(plain.rise)} without"
    told = f"the first model's loss changes by {rises}"
    if protected(best, plain):
        return told
    raise BrokenError(told) if harms(best, plain) else WeakError(told)


def protected(own: Effect, plain: Effect) -> bool:
    """Whether the first model loses clearly less than by fine-tuning."""
    return own.rise < (1 - _PROTECTED) * plain.rise


def harms(own: Effect, plain: Effect) -> bool:
    """Whether the first model loses clearly more than by fine-tuning."""
    return own.rise > max(plain.rise, 0) + _PROTECTED * abs(plain.rise)


def _signed(rise: float) -> str:
    return f"{round(rise, 2) + 0.0:+.2f}"  # no -0.00
