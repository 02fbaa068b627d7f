"""Strategies that a suite's scenarios cannot train. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.scenarios.settings.optimizers import SGD, Optimizer
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.suites.avalanche import AVALANCHE
from palimpsest.benchmark.suites.file import SuiteSource
from palimpsest.benchmark.suites.validation import shown
from palimpsest.strategies.base.facts import Needs

if TYPE_CHECKING:
    from palimpsest.benchmark.suites.suite import Strategy, Suite


def check_strategies(suite: Suite, source: SuiteSource) -> None:
    """Refuse strategies that cannot run in a scenario, such as in a search.

    Raises:
        UserError: With the line of the strategy.
    """
    for strategy, (name, scenario) in product(suite.strategies.values(), suite.scenarios.items()):
        for problem in _problems(strategy, shown(name), scenario):
            raise source.error(("strategies", strategy.name), problem)


def check_steps(needs: Needs, steps: int, where: str) -> None:
    """Refuse a strategy whose first steps take the whole of a training.

    Args:
        needs: The strategy's.
        steps: Of the shortest training.
        where: The training's name in a message.

    Raises:
        UserError: Says how many it needs.
    """
    for problem in _too_few(needs, steps, where):
        raise UserError(problem)


def _too_few(needs: Needs, steps: int, where: str, *, at_most: bool = False) -> Iterator[str]:
    """Yield that a training is too short for a strategy."""
    name, first = needs.steps or ("", 0)
    if steps <= first:
        many = ("at most " if at_most else "") + ("1 step" if steps == 1 else f"{steps} steps")
        yield (
            f"{name} is {first}, and a training in {where} has {many}: none is left for what comes "
            f"after the first {first}; give fewer {name}, or train longer"
        )


def _too_short(needs: Needs, scenario: ScenarioSettings, where: str) -> Iterator[str]:
    """Yield that a scenario's trainings are too short for a strategy, as far as is known."""
    if scenario.steps is not None:
        yield from _too_few(needs, scenario.steps, where)
    elif scenario.samples is not None:  # how many a training has of them, only the data tell
        yield from _too_few(needs, scenario.steps_for(scenario.samples), where, at_most=True)


def _problems(strategy: Strategy, name: str, scenario: ScenarioSettings) -> Iterator[str]:
    """Yield why a strategy cannot run in a scenario; a plugin's is known by its settings alone."""
    kind, facts, needs = strategy.kind, strategy.facts, strategy.facts.needs
    avalanches, at_once = kind.startswith(AVALANCHE), facts.trains == "at once"
    elsewhere = "put it into a suite of its own with other scenarios"
    if scenario.one_supernet:
        if facts.needs_its_model or at_once:
            yield (
                f"{kind} does not work in an architecture search such as scenario {name}, whose "
                f"models are other architectures in each epoch; {elsewhere}"
            )
    else:
        if scenario.is_search and (avalanches or at_once):
            yield (
                f"{kind} has a training of its own, but scenario {name} says which architecture is "
                f"trained on which batch; {elsewhere}"
            )
        if facts.searches:
            yield (
                "it works in architecture searches alone, since it trains other architectures of a "
                f"supernet on the same data, and scenario {name} is none; put it into a suite of "
                "its own with a search"
            )
        if needs.edges is not None:
            yield (
                f"{needs.edges} means the parameters of a supernet that belong to a "
                f"choice, and scenario {name} has no supernet; say all, or search"
            )
    if needs.sgd is not None:
        for optimizer in map(scenario.optimizer_of, (0, 1)):
            if not _is_plain(optimizer):
                yield (
                    f"{needs.sgd} holds nothing behind {optimizer.name} as scenario "
                    f"{name} has it, whose steps do not follow the gradient alone; say scales: "
                    "update, or use sgd without momentum and weight_decay there"
                )
    yield from _too_short(needs, scenario, f"scenario {name}")
    if needs.classes is not None and scenario.has_words:
        yield (
            f"{needs.classes} needs logits of shape (samples, classes), and scenario "
            f"{name} has logits of every word of a text; use fisher: training where there is such "
            "a setting, or a strategy that needs gradients alone, such as l2 or si"
        )
    yield from _unlabelled(kind, needs, name, scenario)
    if needs.single_samples is not None and scenario.mixes_samples:
        yield (
            f"{needs.single_samples} needs the gradients of single samples, and scenario "
            f"{name} has none, since its layers normalise over the batch; use normalisation: layer "
            "or none, fisher: training or batched where there is such a setting, or another "
            "strategy, such as l2 or si"
        )


def _unlabelled(kind: str, needs: Needs, name: str, scenario: ScenarioSettings) -> Iterator[str]:
    """Yield that a strategy takes task labels for known or unknown where they are not."""
    if needs.one_model is not None and scenario.has_several_models:
        yield (
            f"{needs.one_model} finds out which mask of one network a batch belongs to, "
            f"and the experiences of scenario {name} have models or heads of their own; say infer: "
            "none, or incremental: domain where there is such a setting"
        )
    if needs.labels is not None and scenario.has_no_labels:
        yield (
            f"{kind} with {needs.labels} needs the task label of what it is to "
            f"classify, and scenario {name} has none; say infer: one_shot or binary, infer: given "
            "for a reference that is told all the same, or incremental: task"
        )


def _is_plain(optimizer: Optimizer) -> bool:
    """Whether a gradient of zero is no step."""
    return isinstance(optimizer, SGD) and not optimizer.momentum and optimizer.weight_decay == 0
