"""Merging leaves trainings independent, and each model's own parameters alone."""

from __future__ import annotations

import torch

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank
from palimpsest.benchmark.kit.program import (
    WITH_MOMENTS,
    Evaluated,
    Program,
    State,
    distance,
    program,
    programs,
    same,
    state,
)
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.training.evaluation import without_plugin
from palimpsest.strategies.merging.merging import Merging, copied

_EPOCHS = 3


def _require(candidate: Candidate) -> None:
    if candidate.plugin is None or not issubclass(candidate.plugin, Merging):
        raise NotApplicableError(
            "it does not derive from palimpsest.strategies.merging.merging.Merging"
        )


def _start(candidate: Candidate, optimizer: str) -> Program:
    value = candidate.values[0] if candidate.turns else None
    return program(candidate, bank(), value=value, optimizer=optimizer, epochs=_EPOCHS)


def _of_model(trained: Program, index: int) -> State:
    """Return a model's weights as its training left them."""
    assert isinstance(trained.model, ModelBank)
    used = trained.model.parameters_of(index)
    return {name: value for name, value in state(trained.model).items() if name in used}


@must_hold(
    "models are trained apart",
    "A merged model's training gives the same weights, bit for bit, whatever models are "
    "trained before it, but for the first.",
    "A training begins where the last one ended (let the base class's before_training_exp go "
    "to the start), or with its optimizer's state.",
)
def _apart(candidate: Candidate) -> str:
    _require(candidate)
    if candidate.arguments.get("start") == "merged":
        raise NotApplicableError("start: merged trains models one after another, by design")
    for place, own in programs(candidate).items():
        for optimizer in WITH_MOMENTS:
            ends = []
            for models in ([0, 1, 2], [0, 2]):
                trained = _start(own, optimizer)
                trained.run(models, reset=False)
                ends.append(_of_model(trained, 2))
            if not same(*ends):
                raise BrokenError(
                    f"{optimizer}{place}: the weights that the third model's training ends with "
                    f"differ by up to {distance(*ends):.2g} where the second is left out"
                )
    return f"the same weights, bit for bit, behind {len(WITH_MOMENTS)} optimizers that are kept"


def _unmerged(trained: Program) -> Evaluated:
    with without_plugin(trained.strategy, trained.plugin):
        return trained.evaluated()


@must_hold(
    "one model alone is itself",
    "When only one model has been trained, it is evaluated as its training left it.",
    "What one model alone has used is scaled, too.",
)
def _alone(candidate: Candidate) -> str:
    _require(candidate)
    for place, own in programs(candidate).items():
        for optimizer in WITH_MOMENTS:
            trained = _start(own, optimizer)
            trained.run([0])
            found = [each.outputs["outputs of model 1"] for each in _both(trained)]
            if not torch.equal(*found):
                gap = (found[0] - found[1]).abs().max().item()
                raise BrokenError(
                    f"{optimizer}{place}: when one model has been trained, its outputs differ by "
                    f"up to {gap:.2g} from those that its training left"
                )
    return "evaluated as its training left it, bit for bit"


def _both(trained: Program) -> tuple[Evaluated, Evaluated]:
    return trained.evaluated(), _unmerged(trained)


@must_hold(
    "private parts are not merged",
    "What no other model uses keeps the value that its training ended with.",
    "merged(index) has values of parameters that are no other model's, or evaluating leaves "
    "out what is the model's own.",
)
def _own_parts(candidate: Candidate) -> str:
    _require(candidate)
    trained = _start(candidate, WITH_MOMENTS[0])
    ends: dict[int, State] = {}
    trained.run(after_each=lambda i: ends.update({i: _of_model(trained, i)}))
    assert isinstance(trained.model, ModelBank)
    for index, end in ends.items():
        others = {n for i in ends if i != index for n in trained.model.parameters_of(i)}
        with trained.plugin.evaluating(trained.model, index):
            found = copied(dict(trained.model.named_parameters()))
        for name in end.keys() - others:
            if not torch.equal(found[name], end[name]):
                gap = (found[name] - end[name]).abs().max().item()
                raise BrokenError(
                    f"model {index + 1} is evaluated with a {name} that differs by up to {gap:.2g} "
                    "from what its training left, and no other model uses it"
                )
    return "what no other model uses keeps its value, bit for bit"
