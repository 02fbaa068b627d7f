"""The effect of a strength with every optimizer, in the harness and in plain Avalanche."""

from __future__ import annotations

import copy
from contextlib import suppress

from torch import nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import shared_bank
from palimpsest.benchmark.kit.program import (
    OPTIMIZERS,
    State,
    behind,
    fine_tuning,
    optimizers_of,
    program,
    programs,
)
from palimpsest.benchmark.kit.properties.strength import (
    STRENGTHS,
    Effect,
    effect,
    harms,
    idle,
    of_fine_tuning,
    protected,
    telling_value,
)
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, WeakError, must_hold

_HUGE = 1e12
_EPOCHS = 2
_HELD = 1e-4


@must_hold(
    "protects behind every optimizer",
    "What protects behind SGD (of strengths that one, or ten times it) protects behind every "
    "optimizer, in the harness and in plain Avalanche. Without a strength that could be "
    "raised, what differs from fine-tuning and hardly helps is weak, not broken.",
    "The penalty is scaled by the learning rate alone (strategies/penalty/optimizer_metric), "
    "or acts where only some optimizers or programs come by.",
)
def _protects_everywhere(candidate: Candidate) -> str:
    if candidate.facts.role == "baseline":
        raise NotApplicableError("fine-tuning protects nothing")
    telling = telling_value(candidate)
    values = _values(candidate, telling)
    optimizers = optimizers_of(candidate, OPTIMIZERS)
    # A strength that protects behind SGD can be raised: then it is no matter of a weak method.
    raised = candidate.strength is not None and protected(
        effect(candidate, telling), effect(fine_tuning(candidate), None)
    )
    wrong: list[str] = []
    weak: list[str] = []
    for place, own in programs(candidate).items():
        for optimizer in optimizers:
            plain = effect(fine_tuning(own), None, optimizer)
            found: list[Effect] = []
            for value in values:
                with suppress(BrokenError):  # it diverges
                    found.append(effect(own, value, optimizer))
                    if protected(found[-1], plain):
                        break
            else:
                useless = all(idle(each, plain) or harms(each, plain) for each in found)
                told = wrong if raised or useless else weak
                told.append(f"{optimizer}{place}: {_seen(found, plain)}")
    setting = candidate.setting(values[0])
    if wrong:
        at = f"at {setting}, which protects behind SGD, " if setting else ""
        raise BrokenError(f"{at}it does not protect behind " + "; ".join(wrong))
    if weak:
        at = f"at {setting} " if setting else ""
        raise WeakError(f"{at}it protects little behind " + "; ".join(weak))
    return f"behind {behind(candidate, OPTIMIZERS)}"


def _values(candidate: Candidate, telling: float | None) -> list[float | None]:
    """Return values of the dial, one of which has to protect.

    A strength means the same with every optimizer, up to how far the training is from
    convergence, unless the penalty is decoupled from the optimizer's metric.
    """
    if telling is None or candidate.strength is None:
        return [telling]
    if candidate.arguments.get("application") == "decoupled":
        return [strength for strength in STRENGTHS if strength >= telling]
    return [telling, 10 * telling]


def _seen(found: list[Effect], plain: Effect) -> str:
    if not found:
        return "weights are NaN or infinite"
    if all(idle(own, plain) for own in found):
        return of_fine_tuning(found[-1], plain)
    least = min(own.rise for own in found)
    return f"the first model's loss changes by {least:+.2f}, by {plain.rise:+.2f} without"


@must_hold(
    "a huge strength holds",
    "At a huge strength the weights are finite and stay where the penalty is smallest, behind "
    "every optimizer, in the harness and in plain Avalanche.",
    "The penalty is added to the loss or its gradient, which diverges where step size * "
    "strength * importance exceeds about 2; take the proximal step "
    "(palimpsest.strategies.Regularizer does).",
)
def _holds(candidate: Candidate) -> str:
    if candidate.strength is None or not hasattr(candidate.plugin, "penalty"):
        raise NotApplicableError("it has no method penalty(model) that tells what it minimises")
    if candidate.arguments.get("application") == "gradient":
        raise NotApplicableError("it is added to the gradient, as asked, and diverges")
    wrong, worst = [], 0.0
    for place, own in programs(candidate).items():
        for optimizer in optimizers_of(candidate, OPTIMIZERS):
            free = effect(fine_tuning(own), None, optimizer).weights
            try:
                share = _share(own, optimizer, free)
            except BrokenError as reason:
                wrong.append(f"{optimizer}{place}: {reason}")
                continue
            worst = max(worst, share)
            if not share < _HELD:
                wrong.append(f"{optimizer}{place}: {share:.2g}")
    if wrong:
        raise BrokenError(
            f"the penalty at the end of a training at strength {_HUGE:g}, over that of "
            "fine-tuning's weights: " + "; ".join(wrong)
        )
    return (
        f"at most {worst:.1g} of the way that fine-tuning goes, behind "
        f"{behind(candidate, OPTIMIZERS)}"
    )


def _share(candidate: Candidate, optimizer: str, free: State) -> float:
    """Return the penalty at the end of a training, over that of fine-tuning's weights."""
    trained = program(
        candidate, shared_bank(), value=_HUGE, optimizer=optimizer, epochs=_EPOCHS, models=2
    )
    trained.run([0])
    known = copy.deepcopy(trained.plugin)  # the second model moves its anchors
    held = trained.run([1])
    if held.keys() != free.keys():
        raise NotApplicableError("its model has other parameters than fine-tuning's")
    of_held, of_free = (_penalty(known, weights) for weights in (held, free))
    if not of_free > 0:
        raise NotApplicableError("its penalty is the same at all weights")
    return of_held / of_free


def _penalty(plugin: object, weights: State) -> float:
    model: nn.Module = shared_bank()
    model.load_state_dict(weights)
    return float(plugin.penalty(model))  # type: ignore[attr-defined]
