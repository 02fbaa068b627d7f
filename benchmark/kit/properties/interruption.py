"""An interrupted training continues as if nothing had happened."""

from __future__ import annotations

from typing import Any

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank
from palimpsest.benchmark.kit.program import Program, State, apart, program, same
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.runs.checkpoints.decoding import UnfitError
from palimpsest.benchmark.runs.checkpoints.encoding import UnsavableError
from palimpsest.benchmark.runs.checkpoints.graph import Reference
from palimpsest.benchmark.runs.checkpoints.state import CheckpointTaker, TrainingState
from palimpsest.benchmark.runs.checkpoints.storage import from_bytes, to_bytes

_STEP, _EPOCHS = 3, 2
_OPTIMIZER = "Adam with weight decay"


class _Training:
    """A training of a candidate that is built anew each time, in the same way."""

    def __init__(self, candidate: Candidate) -> None:
        value = telling_or_default(candidate)
        self.program: Program = program(
            candidate, bank(), value=value, optimizer=_OPTIMIZER, epochs=_EPOCHS
        )
        strategy = self.program.strategy
        self._turned = None
        if candidate.turns:
            self._turned = candidate.values[0] if value is None else value
        self.state = TrainingState(strategy)
        self.built = self.state.reference()
        self.within = CheckpointTaker(self.state)
        strategy.plugins.append(self.within)

    def saved(self, reference: Reference) -> bytes:
        """Return the present state, with the dial that acts after training set again."""
        if self._turned is not None:
            self.program.plugin.turn(self._turned)
        return to_bytes(self.state.saved(reference), {})

    def restore(self, content: bytes, reference: Reference) -> None:
        """Go to a state."""
        self.state.restore(from_bytes(content)[0], reference)

    def result(self) -> State:
        """Return the weights, and what every model puts out."""
        return {**self.program.result(), **self.program.evaluated().outputs}


@must_hold(
    "resumes after an interruption",
    "Saved after a model, or in the middle of one, and gone on with by a strategy that is "
    "built anew, training gives the same weights, bit for bit.",
    "It keeps state outside of its attributes (in a module, a class, a file), or its own "
    "state_dict leaves something out.",
)
def _resumes(candidate: Candidate) -> str:
    undisturbed = _Training(candidate)
    try:
        undisturbed.program.run()
    except BrokenError as error:
        raise NotApplicableError(f"undisturbed, {error}") from None
    expected = undisturbed.result()
    try:
        saved, reason = _interrupted(candidate, expected)
    except UnsavableError as error:
        raise NotApplicableError(
            f"its runs have no checkpoints: {error}, which cannot be saved"
        ) from None
    _check(candidate, expected, 1, saved[1][0], None)
    if reason:
        return f"the same weights, bit for bit, after a model; not within one: {reason}"
    within = [model for model, (_, state) in saved.items() if state is not None]
    for model in within[-1:]:
        _check(candidate, expected, model, *saved[model])
    also = " and within one" if within else "; its template has no checkpoints within one"
    return f"the same weights, bit for bit, after a model{also}"


def _interrupted(
    candidate: Candidate, expected: State
) -> tuple[dict[int, tuple[bytes, bytes | None]], str]:
    """Return the states before and within models, and why there is none within one."""
    training = _Training(candidate)
    saved: dict[int, tuple[bytes, bytes | None]] = {}
    found: list[bytes] = []
    reasons: list[str] = []

    def save(_: Any, step: int, reference: Reference) -> None:
        if step == _STEP:
            try:
                found.append(training.saved(reference))
            except UnsavableError as error:
                reasons.append(f"{error}, which cannot be saved")

    for model in range(3):
        between = training.saved(training.built)
        if candidate.template is None and model < 2:
            training.within.next_training(save)
        training.program.run([model])
        saved[model] = between, found.pop() if found else None
    if not same(training.result(), expected):
        raise BrokenError(f"{apart(training.result(), expected)} where its state is saved")
    return saved, reasons[0] if reasons else ""


def _check(
    candidate: Candidate, expected: State, model: int, between: bytes, within: bytes | None
) -> None:
    """Continue from a state, with a strategy that is built anew."""
    training = _Training(candidate)
    when = f"after model {model}" if within is None else f"within model {model + 1}"

    def resume(_: Any, reference: Reference) -> None:
        assert within is not None
        training.restore(within, reference)

    try:
        training.restore(between, training.built)
        training.within.next_training(None, None if within is None else resume)
        training.program.run(range(model, 3))
    except UnfitError as error:
        raise BrokenError(
            f"its state {when} does not fit one that is built anew: {error}"
        ) from None
    found = training.result()
    if not same(found, expected):
        raise BrokenError(f"{apart(found, expected)} when training goes on {when}")
