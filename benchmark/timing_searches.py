"""A timed probe of architecture searches: how long one takes follows from short ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.executors.in_process import as_in_a_worker
from benchmark.scenarios.samplers import Controlled
from benchmark.scenarios.searching import spread
from benchmark.suite import Run

if TYPE_CHECKING:
    from benchmark.models.supernet_bank import SupernetBank
    from benchmark.scenarios.scenario import Scenario
    from benchmark.scenarios.searching import Search

SecondsWith = Callable[[Run, dict[str, Any]], float]
"""Carries out a run with other settings of its scenario, and returns how long it took."""

_VISITS = 12
"""Of the shorter of two searches: until then, what strategies do grows with the visits."""

_SLOW_VISIT = 0.1
"""Seconds of a visit of one batch from which fewer visits have to do."""

_SECONDS = 1.0
"""About how long a measurement may take, if one of what it measures takes less."""

_CONTROLLER_STEPS = 50


@dataclass
class _Evaluations:
    """Seconds of evaluating one architecture: on the part for visits, and on whole splits."""

    visit: float
    validation: float
    test: float

    def of(self, search: Search, space: int, derived: int) -> float:
        """Return the seconds of all evaluations of a search.

        Args:
            search: The search.
            space: Architectures of the space.
            derived: Architectures that the controller draws at the end.
        """
        measured = search.epochs * len(search.measured) * search.width
        ranked = space if search.ranked is None else min(search.ranked, space)
        both = self.validation + self.test
        different = space * (1 - (1 - 1 / space) ** derived)  # of those drawn, about
        return (
            3 * measured * self.visit
            + search.slots * (self.test + both)
            + ranked * both
            + (different * self.validation + both if derived else 0.0)
        )


class SearchProbe:
    """Tells how long a search takes, strategy by strategy.

    Of a search of n visits of b batches, these take time: its visits, ``n (o + b s)``, evaluations
    (of measured visits, of all slots before and after, and of what is ranked or derived), and the
    controller's steps. Visits are timed with each strategy, in two searches of few visits of one
    batch and a third one of more; all else once.

    Architectures that are trained alone are timed likewise, with their evaluations. Of many with
    short trainings it takes longer: whatever walks through the network walks through all of them.

    Args:
        scenario: As it was built.
        seconds: Carries out short searches.
        root: The folder that holds the data sets.

    Attributes:
        warm_start: Seconds of a warm-start, which one run of a seed trains for all.
    """

    def __init__(self, scenario: Scenario, seconds: SecondsWith, root: Path) -> None:
        assert scenario.search is not None
        self._search = scenario.search
        bank: SupernetBank = scenario.model
        sampler = scenario.search.sampler
        self._controlled = sampler if isinstance(sampler, Controlled) else None
        self._space = bank.space.size
        self._architectures = list(bank.architectures)
        self._seconds = seconds
        self._root = root
        self.warm_start = 0.0
        self._once: float | None = None
        self._evaluations = _Evaluations(0.0, 0.0, 0.0)

    def __call__(self, run: Run) -> float:
        """Return about how many seconds a run takes."""
        return self._together(run) if self._search.shared else self._alone(run)

    def _alone(self, run: Run) -> float:
        architectures, steps = self._architectures, self._search.batches

        def seconds(count: int, steps: int) -> float:
            chosen = [architectures[place] for place in spread(count, len(architectures))]
            return self._seconds(run, {"architectures": chosen, "steps": steps})

        if self._once is None:
            seconds(1, 1)  # imports and first uses are no part of a run
            self._once = 0.0
        one = seconds(1, 1)
        few = min(len(architectures), _within(one, 2, _VISITS))
        several = seconds(few, 1)
        each = max(0.0, several - one) / (few - 1) if few > 1 else one
        more = min(steps, 1 + _within(each, 5, 50))
        step = 0.0 if more == 1 else max(0.0, seconds(few, more) - several) / (few * (more - 1))
        return several + (len(architectures) - few) * each + len(architectures) * (steps - 1) * step

    def _together(self, run: Run) -> float:
        search = self._search
        if self._once is None:
            self._once = self._of_all_strategies(run)
        visits, more = 2, 4  # not 1, which would need fewer slots
        few, many = (self._short(run, count) for count in (visits, more))
        if many - few < 2 * _SLOW_VISIT:
            visits, more = _VISITS, 2 * _VISITS
            few, many = (self._short(run, count) for count in (visits, more))
        visit = max(0.0, many - few) / (more - visits)
        batches, step = min(search.batches, 1 + _within(more * visit, 2, 10)), 0.0
        if batches > 1:
            longer = self._short(run, more, batches=batches)
            step = max(0.0, longer - many) / (more * (batches - 1))
        count = search.epochs * search.visits
        own = replace(search, epochs=1, visits=visits, measured=spread(1, visits), ranked=0)
        trained = few - self._evaluations.of(own, self._space, int(self._controlled is not None))
        trained += (count - visits) * visit + count * (search.batches - 1) * step
        return max(0.0, trained) + self._once

    def _of_all_strategies(self, run: Run) -> float:
        """Return the seconds of what is the same for all strategies."""
        search, sampler = self._search, self._controlled
        self._short(run, 1)  # imports and first uses are no part of a run
        self._evaluations = self._evaluated(run)
        derived = 0 if sampler is None else sampler.derived
        found = self._evaluations.of(search, self._space, derived)
        if search.warm_start:
            cold, warm = (self._short(run, _VISITS, warm_start=epochs) for epochs in (0, 1))
            self.warm_start = search.warm_steps * max(0.0, warm - cold) / _VISITS
        if sampler is not None:
            few, many = (self._short(run, 1, steps=1 + n) for n in (0, _CONTROLLER_STEPS))
            found += search.epochs * sampler.steps * max(0.0, many - few) / _CONTROLLER_STEPS
        return found

    def _short(
        self, run: Run, visits: int, *, batches: int = 1, warm_start: int = 0, steps: int = 1
    ) -> float:
        """Carry out a search of one epoch; the controller takes so many steps after it."""
        changes: dict[str, Any] = {
            "epochs": 1, "visits": visits, "batches": batches, "warm_start": warm_start,
            "cut_after_warm_start": 1.0, "measured": 1, "ranked": 0,
        }  # fmt: skip
        if self._controlled is not None:
            own = self._controlled.model_copy(update={"steps": steps, "derived": 1})
            changes["sampler"] = own.model_dump(mode="json")
        return self._seconds(run, changes)

    def _evaluated(self, run: Run) -> _Evaluations:
        """Time evaluations of some architectures, drawn from the space."""
        import numpy as np

        from benchmark.evaluation import LOADER, evaluate
        from benchmark.preparation import prepare

        def mean_seconds(stream: list[Any]) -> float:
            generator, times = np.random.default_rng(0), 0
            start = time.monotonic()
            while times == 0 or (times < _VISITS and time.monotonic() - start < _SECONDS / 3):
                bank.architectures[0] = bank.space.sample(generator)
                evaluate(ready.strategy, stream[:1], **LOADER)
                times += 1
            return (time.monotonic() - start) / times

        with as_in_a_worker(run.spec.device):
            ready = prepare(run, self._root)
            bank: SupernetBank = ready.scenario.model
            scenario = ready.scenario
            streams = (scenario.curve_data, scenario.validation, scenario.test)
            return _Evaluations(*map(mean_seconds, streams))


def _within(each: float, least: int, most: int) -> int:
    """Return how many of so many seconds fit into the time of a measurement, within limits."""
    return max(least, min(most, int(_SECONDS / max(each, 1e-9))))
