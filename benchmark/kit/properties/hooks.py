"""Evaluation and adaptation leave no trace; turning a dial trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank
from palimpsest.benchmark.kit.program import Program, State, apart, distance, program, same, state
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.strategies.base.hooks import Adapts, Evaluates, Optimizes

_HOOKS = {"adapt": Adapts, "optimizer": Optimizes, "evaluating": Evaluates}


def _hooks_of(candidate: Candidate) -> list[str]:
    return [name for name in _HOOKS if candidate.has(_HOOKS[name])]


def _require(candidate: Candidate, hook: str) -> None:
    if hook not in _hooks_of(candidate):
        raise NotApplicableError(f"it has no hook {hook}")


def _start(candidate: Candidate) -> Program:
    return program(candidate, bank(), value=telling_or_default(candidate))


def _look(trained: Program) -> None:
    """Evaluate all models."""
    trained.evaluated()


@must_hold(
    "hooks are called",
    "Every hook that it defines is called in training and evaluation.",
    "It does not derive from palimpsest.strategies.base.hooks.Hooked, or overrides one of its "
    "callbacks without super().",
)
def _called(candidate: Candidate) -> str:
    hooks = _hooks_of(candidate)
    if not hooks:
        raise NotApplicableError("it has no hooks")
    trained = _start(candidate)
    calls = dict.fromkeys(hooks, 0)

    def counting(hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            calls[hook] += 1
            return method(*arguments, **keywords)

        return counted

    for hook in hooks:
        setattr(trained.plugin, hook, counting(hook, getattr(trained.plugin, hook)))
    trained.run(after_each=lambda _: _look(trained))
    never = [hook for hook in hooks if not calls[hook]]
    if never:
        raise BrokenError(f"never called: {', '.join(never)}")
    return ", ".join(f"{hook} {calls[hook]} times" for hook in hooks) + ", in three trainings"


class _Stumbles:
    """The part of an Avalanche plugin that ends every evaluation in the middle."""

    def after_eval_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        raise _StumbledError


class _StumbledError(Exception):
    pass


def looks(model: nn.Module) -> tuple[State, dict[str, bool], dict[str, bool]]:
    """Return the values, the modes, and which parameters require a gradient."""
    modes = {name: module.training for name, module in model.named_modules()}
    return state(model), modes, {name: p.requires_grad for name, p in model.named_parameters()}


def differences(model: nn.Module, before: tuple[State, Any, Any]) -> str | None:
    """Say how a model differs from what ``looks`` returned; ``None``: in nothing."""
    values, *others = looks(model)
    if values.keys() != before[0].keys():
        return f"other parameters: {', '.join(sorted(values.keys() ^ before[0].keys()))}"
    if not same(values, before[0]):
        return f"weights or buffers that differ by up to {distance(values, before[0]):.2g}"
    return (
        None if others == list(before[1:]) else "other modes or parameters that require gradients"
    )


@must_hold(
    "evaluating puts everything back",
    "After an evaluation weights, buffers, modes and requires_grad are as they were, also "
    "where it raises.",
    "The context does not put back what it changes, or only some of it.",
)
def _puts_back(candidate: Candidate) -> str:
    _require(candidate, "evaluating")
    trained = _start(candidate)

    def look(when: str) -> None:
        before = looks(trained.model)
        trained.evaluated()
        left = differences(trained.model, before)
        if left:
            raise BrokenError(f"evaluated {when}, it leaves {left}")
        stumbles = _Stumbles()
        trained.strategy.plugins.append(stumbles)
        training = trained.strategy._save_train_state()
        with suppress(_StumbledError):
            trained.strategy.eval(trained.test)
        trained.strategy.plugins.remove(stumbles)
        leave = getattr(trained.plugin, "leave", None)
        if leave is not None:
            leave()
        trained.strategy._load_train_state(training)
        left = differences(trained.model, before)
        if left:
            raise BrokenError(f"where an evaluation {when} raises, it leaves {left}")

    look("before training")
    trained.run(after_each=lambda model: look(f"after model {model + 1}"))
    return "before, between and after trainings, also where an evaluation raises"


@must_hold(
    "adapting twice is adapting once",
    "What is adapted already stays as it is.",
    "A layer is wrapped again, or a mask is drawn anew, each time a model trains.",
)
def _adapts_once(candidate: Candidate) -> str:
    _require(candidate, "adapt")
    trained = _start(candidate)

    def again(model: int) -> None:
        before = looks(trained.model)
        trained.plugin.adapt(trained.model, model)
        left = differences(trained.model, before)
        if left:
            raise BrokenError(f"adapting to model {model + 1} a second time leaves {left}")

    trained.run(after_each=again)
    return "a second time changes nothing"


@must_hold(
    "turning trains nothing",
    "Where the dial acts after training, the trained weights are the same at all its values, "
    "and what is evaluated depends on the present value alone.",
    "The training looks at the dial; or the context of an evaluation does not put back the "
    "weights that it changed, or keeps what it made of them; or turn(value) sets nothing.",
)
def _turning(candidate: Candidate) -> str:
    if candidate.dial is None or not candidate.dial.after_training:
        raise NotApplicableError("it has no dial that acts after training")
    if not candidate.turns:
        raise BrokenError("it has no method turn(value)")
    values = candidate.values
    alone = {value: program(candidate, bank(), value=value) for value in values}
    weights = [each.run(after_each=lambda _, of=each: _look(of)) for each in alone.values()]  # type: ignore[misc]
    first, second = (candidate.setting(value) for value in values)
    if not same(*weights):
        raise BrokenError(f"between {first} and {second}, trained {apart(*weights)}")
    both = program(candidate, bank())
    turned: dict[float, State] = {}

    def look_at_each(_: int) -> None:
        for value in values:
            both.plugin.turn(value)
            turned[value] = both.evaluated().outputs

    both.run(after_each=look_at_each)
    expected = [each.evaluated().outputs for each in alone.values()]
    for value, own in zip(values, expected, strict=True):
        if not same(turned[value], own):
            raise BrokenError(
                f"evaluated at all values in turn, {candidate.setting(value)} is not what it is "
                f"alone: outputs differ by up to {distance(turned[value], own):.2g}"
            )
    if same(*expected):
        raise BrokenError(f"{first} and {second} evaluate to the same outputs, bit for bit")
    return f"the same weights, bit for bit, at {first} and {second}, each evaluated as alone"
