"""The parts of a search: its scenario, and what a run needs to train and measure it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from palimpsest.benchmark.probes.base.probe import Subject
from palimpsest.benchmark.scenarios.assembly import assemble
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.streams.parts import Part, choose
from palimpsest.benchmark.scenarios.streams.windows import first_windows
from palimpsest.benchmark.search.batches import SearchOrder
from palimpsest.benchmark.search.controller import Policy, Reward
from palimpsest.benchmark.search.measuring import Measuring
from palimpsest.benchmark.search.plan import SearchPlan
from palimpsest.benchmark.search.plugins import CarriedState, EpochDecay, Sampling
from palimpsest.benchmark.search.samplers import Controlled
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.training.loss import TokenLoss


def assemble_search(
    search: SearchPlan, bank: SupernetBank, part: Part, measured_samples: int | None
) -> Scenario:
    """Make the scenario of a search: every slot is an experience, and all have the same data."""
    columns = search.columns
    scenario = assemble(
        bank,
        [part] * search.slots,
        range(search.slots),
        steps=[search.batches] * search.slots,
        curve_split="validation",
        curve_samples=measured_samples,
        chosen=choose if columns is None else partial(first_windows, columns=columns),
    )
    scenario = replace(scenario, schedule=search.schedule(), search=search)
    return scenario if columns is None else replace(scenario, loss=TokenLoss())


@dataclass(frozen=True)
class SearchParts:
    """The parts of a run whose scenario is a search.

    Attributes:
        order: Gives each training its batches.
        plugins: Take part in its training.
        policy: Draws the architectures; ``None``: they are random.
    """

    order: SearchOrder
    plugins: list[Any]
    policy: Policy | None

    @classmethod
    def of(cls, scenario: Scenario, seed: int) -> SearchParts | None:
        """Return the parts for a scenario and a run's seed; ``None`` if it is not a search."""
        search, bank = scenario.search, scenario.model
        if not isinstance(search, SearchPlan):
            return None
        assert isinstance(bank, SupernetBank)
        policy = None
        if isinstance(search.sampler, Controlled):
            policy = _policy(scenario, bank, search.sampler, search.columns, seed)
        plugins: list[Any] = [Sampling(search, bank, seed, policy)]
        if search.columns is not None:
            batches = len(scenario.train[0].dataset) // search.columns
            plugins.append(CarriedState(search, bank, batches))
        if min(search.decay, search.cut) < 1:
            plugins.append(EpochDecay(search))
        return cls(SearchOrder(search, seed), plugins, policy)

    def measuring(self, subject: Subject) -> Measuring:
        """Return the probe of the search."""
        return Measuring(subject, self.order.search, self.policy)


def _policy(
    scenario: Scenario, bank: SupernetBank, sampler: Controlled, columns: int | None, seed: int
) -> Policy:
    x, y, _ = scenario.validation[0].dataset.samples
    scale = sampler.scale_for(perplexity=columns is not None)
    reward = Reward(x, y, sampler.batch, scale, columns)
    return Policy(bank.space.options, sampler, reward, seed)
