"""Strategies that declare that they forget nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank, normalised
from palimpsest.benchmark.kit.program import OPTIMIZERS, behind, optimizers_of, program, programs
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold


@must_hold(
    "nothing is forgotten",
    "Where it is declared (forgets_nothing), every model puts out what it put out when it had "
    "learned, bit for bit, whatever is trained later, behind every optimizer.",
    "Something that models share is not held: a bias, a running statistic, a weight that "
    "momentum or weight decay moves; or a model is evaluated with the state of another.",
)
def _forgets_nothing(candidate: Candidate) -> str:
    if not candidate.facts.forgets_nothing:
        raise NotApplicableError("it does not declare that it forgets nothing")
    value = telling_or_default(candidate)
    for place, own in programs(candidate).items():
        for make in (bank, normalised):
            for optimizer in optimizers_of(candidate, OPTIMIZERS):
                trained = program(own, make(), value=value, optimizer=optimizer, epochs=3)
                learned: dict[str, Tensor] = {}
                for i in range(len(trained.train)):
                    trained.run([i], reset=False)
                    found = [*trained.evaluated().outputs.items()][: i + 1]
                    for name, outputs in found:
                        gap = (learned.setdefault(name, outputs) - outputs).abs().max().item()
                        if not torch.equal(learned[name], outputs):
                            raise BrokenError(
                                f"{optimizer}{place}: {name} change by {gap:.2g} while model "
                                f"{i + 1} trains"
                            )
    return (
        "the outputs of earlier models are the same, bit for bit, behind "
        f"{behind(candidate, OPTIMIZERS)}"
    )
