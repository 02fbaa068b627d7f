"""Evaluation, modes and randomness must not leak into training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank, normalised, ordinary
from palimpsest.benchmark.kit.program import (
    State,
    apart,
    distance,
    fine_tuning,
    program,
    result_of,
    same,
)
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, must_hold
from palimpsest.strategies.base.hooks import Evaluates

_ROUNDING = 1e-3
_EVERY = 4
"""Steps between evaluations; the last step of each model is one of them."""


class _Looks:
    """The part of an Avalanche plugin that evaluates all models while one trains."""

    def __init__(self) -> None:
        self.look: Callable[[], object] = list
        self._steps = 0

    def before_training_exp(self, *_: Any, **__: Any) -> None:
        self.look()

    def after_training_iteration(self, *_: Any, **__: Any) -> None:
        self._steps += 1
        if self._steps % _EVERY == 0:
            self.look()


def _with_and_without_evaluation(candidate: Candidate, value: float | None) -> list[State]:
    results = []
    for evaluates in (True, False):
        watch = _Looks()
        trained = program(candidate, normalised(), value=value, watchers=[watch])
        if evaluates:
            watch.look = trained.evaluated
        trained.run(reseed=False, after_each=lambda _, watch=watch: watch.look())  # type: ignore[misc]
        results.append(trained.result())
    return results


@must_hold(
    "evaluation changes nothing",
    "Training gives the same weights, and its end the same evaluation, whether the models are "
    "evaluated in between or not.",
    "Evaluation draws from the generator that training draws from, as Avalanche's data "
    "loaders do, or a plugin keeps state in its evaluation callbacks.",
)
def _evaluation(candidate: Candidate) -> str:
    value = telling_or_default(candidate)
    seen, unseen = _with_and_without_evaluation(candidate, value)
    if not same(seen, unseen):
        plain = same(*_with_and_without_evaluation(fine_tuning(candidate), None))
        also = "" if plain else "; so do fine-tuning's in the same template"
        raise BrokenError(
            f"{apart(seen, unseen)} when all models are evaluated while one trains and after "
            f"it{also}"
        )
    return "the same weights, whether models are evaluated in between or not"


class _Modes:
    """The part of an Avalanche plugin that watches modes and running statistics."""

    def __init__(self) -> None:
        self.trained_in_evaluation_mode = 0
        self.forwards = 0
        self.modes: dict[str, bool] = {}
        self.buffers: State = {}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Set one layer to evaluation mode, as one does to keep its dropout out."""
        for module in strategy.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.eval()

    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        self.forwards += 1
        self.trained_in_evaluation_mode += not strategy.model.training

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        self.modes = {name: m.training for name, m in strategy.model.named_modules()}
        self.buffers = {name: value.clone() for name, value in strategy.model.named_buffers()}


def _mode(training: bool) -> str:
    return "training" if training else "evaluation"


@must_hold(
    "modes are left as found",
    "The model trains in training mode, and estimating importances changes neither the mode "
    "of a layer nor the statistics of batch normalisation.",
    "model.eval() or model.train() without putting back each module's own mode, or an "
    "importance pass in training mode.",
)
def _left_as_found(candidate: Candidate) -> str:
    watch = _Modes()
    value = telling_or_default(candidate)
    trained = program(candidate, normalised(), value=value, watchers=[watch])
    wrong: list[str] = []
    for i in range(len(trained.train)):
        trained.run([i])
        wrong += [
            f"{type(module).__name__} {name} is left in {_mode(module.training)} mode, not in "
            f"{_mode(watch.modes[name])} mode"
            for name, module in trained.model.named_modules()
            if module.training != watch.modes[name]
        ]
        wrong += [
            f"{name} changes after the last step"
            for name, value in trained.model.named_buffers()
            if not torch.equal(value, watch.buffers[name])
        ]
    if watch.trained_in_evaluation_mode:
        wrong.append(
            f"{watch.trained_in_evaluation_mode} of {watch.forwards} training passes are in "
            "evaluation mode, without dropout and with running statistics that stand still"
        )
    if wrong:
        raise BrokenError("; ".join(dict.fromkeys(wrong)))
    return "training mode in training, each layer's own mode and all running statistics kept"


@must_hold(
    "precision changes rounding alone",
    "In double precision the weights, and what is evaluated, are those of single precision, up "
    "to rounding.",
    "Tensors are made in single precision, or differences of numbers that are nearly equal "
    "are divided by.",
)
def _double(candidate: Candidate) -> str:
    value = telling_or_default(candidate)
    single, double = (
        result_of(program(candidate, ordinary(), value=value, dtype=dtype))
        for dtype in (torch.float32, torch.float64)
    )
    gap = distance(single, double)
    if not gap < _ROUNDING:
        raise BrokenError(f"{apart(single, double)} from single to double precision")
    what = "weights and outputs" if candidate.has(Evaluates) else "weights"
    return f"{what} differ by at most {gap:.2g} from those in single precision"


@must_hold(
    "deterministic",
    "The same seeds give the same weights, bit for bit, and so is what is evaluated.",
    "A generator without a seed, or the order of a set.",
)
def _deterministic(candidate: Candidate) -> str:
    value = telling_or_default(candidate)
    first, second = (result_of(program(candidate, bank(), value=value)) for _ in range(2))
    if not same(first, second):
        raise BrokenError(f"of two trainings from the same seeds {apart(first, second)}")
    return "the same weights twice, bit for bit"
