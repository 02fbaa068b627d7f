"""A strategy's state survives a checkpoint, and grows as declared."""

from __future__ import annotations

import pickle

from torch import nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank, ordinary
from palimpsest.benchmark.kit.program import WITH_MOMENTS, Program, State, apart, program, same
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.strategies.base.hooks import Adapts

_MODELS = (2, 4, 8)
_SLACK = 0.5
_WIDTH = 512  # so that a pickle is mostly tensors, not their names


def _start(candidate: Candidate) -> Program:
    value = telling_or_default(candidate)
    return program(candidate, bank(), value=value, optimizer=WITH_MOMENTS[0])


def _compare(resumed: State, whole: State) -> str:
    if not same(resumed, whole):
        raise BrokenError(f"resumed or not interrupted, {apart(resumed, whole)}")
    return "resumed after the first model, the same weights bit for bit"


@must_hold(
    "a checkpoint keeps everything",
    "Pickled after a model and loaded again, the training goes on bit for bit, to the same "
    "evaluation.",
    "State is kept by id(parameter), in a closure or in a lambda, or refers to the old model.",
)
def _checkpoint(candidate: Candidate) -> str:
    trained = _start(candidate)
    trained.run([0], reset=False)
    try:
        trained.strategy, trained.plugin = pickle.loads(
            pickle.dumps((trained.strategy, trained.plugin))
        )
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise BrokenError(f"it cannot be pickled: {error}") from error
    whole = _start(candidate)
    trained.run([1, 2], reset=False)
    whole.run(reset=False)
    return _compare(trained.result(), whole.result())


@must_hold(
    "the state dict holds everything",
    "A new plugin that loads the state dict of the old one goes on bit for bit, to the same "
    "evaluation.",
    "An attribute is missing in state_dict, most often an anchor or a counter.",
)
def _state_dict(candidate: Candidate) -> str:
    if not (
        hasattr(candidate.plugin, "state_dict") and hasattr(candidate.plugin, "load_state_dict")
    ):
        raise NotApplicableError("it has no state_dict; a checkpoint takes it whole")
    before, resumed, whole = (_start(candidate) for _ in range(3))
    before.run([0])
    if isinstance(resumed.plugin, Adapts):
        resumed.plugin.adapt(resumed.model, 0)  # a state dict is loaded into a model of its shape
    for old, new in ((before.plugin, resumed.plugin), (before.model, resumed.model)):
        new.load_state_dict(pickle.loads(pickle.dumps(old.state_dict())))
    resumed.run([1, 2])
    whole.run()
    return _compare(resumed.result(), whole.result())


def _bytes(model: nn.Module) -> int:
    """Return the size of a model in bytes, including what a strategy has added to it."""
    tensors = (*model.parameters(), *model.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@must_hold(
    "memory grows as declared",
    "With the number of models the state grows no faster than the strategy declares.",
    "One importance and anchor is kept for each model, where one quadratic can hold the sum "
    "(palimpsest.strategies.penalty.quadratic.merge).",
)
def _memory(candidate: Candidate) -> str:
    model = ordinary(_WIDTH)
    value = telling_or_default(candidate)
    trained = program(candidate, model, value=value, epochs=3, models=_MODELS[-1])
    sizes: dict[int, int] = {}
    built = _bytes(model)

    def weigh(last: int) -> None:
        if last + 1 in _MODELS:
            kept = trained.strategy.plugins if trained.plugin is None else trained.plugin
            sizes[last + 1] = len(pickle.dumps(kept)) + _bytes(model) - built

    try:
        trained.run(after_each=weigh)
    except BrokenError as reason:
        if candidate.of_avalanche:
            raise NotApplicableError(f"it declares nothing, and {reason}") from None
        raise
    unit = sum(p.numel() * p.element_size() for p in model.parameters())
    early, late = ((sizes[b] - sizes[a]) / unit for a, b in ((2, 4), (4, 8)))
    told = f"from 2 to 4 models {early:+.2f}, from 4 to 8 {late:+.2f} times the parameters' size"
    grows = "constant" if early + late < _SLACK else "linear"
    grows = grows if late <= 2 * early + _SLACK else "faster than linear"
    if candidate.of_avalanche:
        raise NotApplicableError(f"it declares nothing; measured: {grows}, {told}")
    if grows not in {candidate.facts.memory, "constant"}:
        raise BrokenError(f"declared {candidate.facts.memory}, but {told}")
    return f"declared {candidate.facts.memory}; {told}"
