"""Checks before any training whether strategies can act on the network of a scenario."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING

import torch

from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.suites.avalanche import AVALANCHE
from palimpsest.benchmark.suites.suite import Strategy
from palimpsest.benchmark.suites.validation import shown
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.hooks import ChecksNetwork, Task
from palimpsest.strategies.base.network import Network, differentiable, evaluation_mode
from palimpsest.strategies.curvature.fisher import draw
from palimpsest.strategies.curvature.per_sample.batch_mates import require_independence

if TYPE_CHECKING:
    from palimpsest.benchmark.suites.suite import Suite

_SAMPLES = 3
"""Of each experience."""


def check_networks(
    suite: Suite, name: str, scenario: Scenario, strategies: Collection[str]
) -> None:
    """Refuse strategies that cannot act on the network of a scenario.

    Args:
        suite: The suite.
        name: Of one of its scenarios.
        scenario: As it was built.
        strategies: The names of its strategies.

    Raises:
        UserError: With the line of the strategy.
    """
    task: Task | None = None
    single = scenario.search is not None
    for label in strategies:
        strategy = suite.strategies[label]
        if strategy.kind.startswith(AVALANCHE):
            continue
        try:
            task = task or _task(scenario)
            if strategy.facts.needs.single_samples is not None and not single:
                _check_single_samples(scenario, task)
                single = True  # once for all strategies
            _check(strategy, scenario, task)
        except ValueError as error:
            raise suite.source.error(
                ("strategies", label),
                f"{strategy.kind} cannot act on the network of scenario {shown(name)}: {error}",
            ) from error
        except Exception:  # a bug of a plugin: the run records it, with its traceback
            continue


def _task(scenario: Scenario) -> Task:
    samples = []
    for experience in scenario.train:
        generator = torch.Generator().manual_seed(0)
        x, _, labels = draw(experience.dataset, _SAMPLES, generator)
        samples += [(label, x[labels == label]) for label in sorted({*labels.tolist()})]
    return Task(samples, scenario.loss)


def _check_single_samples(scenario: Scenario, task: Task) -> None:
    model = copy.deepcopy(scenario.model)
    with evaluation_mode(model), differentiable(model):
        for label, x in task.samples:
            require_independence(Network(model, label), x)


def _check(strategy: Strategy, scenario: Scenario, task: Task) -> None:
    settings = strategy.settings.model_dump(mode="json")
    if strategy.dial is not None:
        given = [value for value in strategy.strengths if value is not None]
        settings[strategy.dial.name] = max(given)
    plugin = STRATEGIES[strategy.kind](**settings)
    if isinstance(plugin, ChecksNetwork):
        plugin.check_network(copy.deepcopy(scenario.model).eval(), task)
