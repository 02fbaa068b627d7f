"""The parts of a search that take part in its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from palimpsest.benchmark.probes.base.probe import Subject
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.search.batches import SearchOrder
from palimpsest.benchmark.search.carrying import CarriedState
from palimpsest.benchmark.search.decay import EpochDecay
from palimpsest.benchmark.search.measuring import Measuring
from palimpsest.benchmark.search.policy import Policy, Reward
from palimpsest.benchmark.search.samplers import Controlled
from palimpsest.benchmark.search.sampling import Sampling
from palimpsest.benchmark.search.settings import Search
from palimpsest.benchmark.search.supernet_bank import SupernetBank


@dataclass(frozen=True)
class SearchParts:
    """What a run needs whose scenario is a search.

    Attributes:
        order: Gives each training its batches.
        plugins: That take part in its training.
        policy: Who draws the architectures; ``None``: chance does.
    """

    order: SearchOrder
    plugins: list[Any]
    policy: Policy | None

    @classmethod
    def of(cls, scenario: Scenario, seed: int) -> SearchParts | None:
        """Return the parts for a scenario; ``None`` if it is no search.

        Args:
            scenario: The scenario.
            seed: The run's.
        """
        search, bank = scenario.search, scenario.model
        if not isinstance(search, Search):
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
        """Return what measures it."""
        return Measuring(subject, self.order.search, self.policy)


def _policy(
    scenario: Scenario, bank: SupernetBank, sampler: Controlled, columns: int | None, seed: int
) -> Policy:
    x, y, _ = scenario.validation[0].dataset.samples
    scale = sampler.scale_for(perplexity=columns is not None)
    reward = Reward(x, y, sampler.batch, scale, columns)
    return Policy(bank.space.options, sampler, reward, seed)
