"""A timed probe: the first steps of runs, from which their length follows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Self

from benchmark.data.catalog import PREFIXES, is_there
from benchmark.estimate import scenario_of
from benchmark.executors.in_process import InProcess
from benchmark.spec import Spec
from benchmark.suite import Run
from benchmark.timing_searches import SearchProbe

if TYPE_CHECKING:
    from benchmark.scenarios.scenario import Scenario

_BUDGET_SECONDS = 10.0
_STEPS = 20
"""Of the shorter probe, where no curve is measured."""

_SLOW_SECONDS = 1.0
"""A run of one step that takes longer is a probe already; one of three is the other."""

_LONGEST_CURVE = 100
"""Steps between measurements up to which a probe includes them."""


class TimedProbe:
    """Trains a few steps of each scenario with each kind of strategy, in this process.

    Two lengths are timed, each after a first model of that length has been trained: later runs of a
    seed take it over. Where a single step, with its evaluations, takes long, two short runs have to
    do. What does not fit into the time is taken for as long as the others. Architecture searches
    have visits, not steps: see ``SearchProbe``.

    Args:
        root: The folder that holds the data sets.
    """

    def __init__(self, root: Path) -> None:
        self._executor = InProcess(root)
        self._root = root
        self._left = _BUDGET_SECONDS
        self._found: dict[str, dict[str, float | None]] = {}
        self._one_step: dict[str, float] = {}
        self._steps: dict[str, float] = {}
        self._first_models: dict[str, float] = {}
        self._seeds: set[Hashable] = set()
        self._searches: dict[str, SearchProbe] = {}

    def __enter__(self) -> Self:
        self._executor.__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        self._executor.__exit__(None, None, None)

    def __call__(self, run: Run) -> float | None:
        """Return about how many seconds a run takes; ``None`` if it cannot be tried."""
        scenario, kind = scenario_of(run.spec), run.spec.strategy.kind
        found = self._found.setdefault(scenario, {})
        if kind not in found and (self._left > 0 or not self._steps):
            start = time.monotonic()
            with contextlib.suppress(Exception):  # such as data that are not there: it will be told
                found[kind] = self._measured(run, scenario)
            found.setdefault(kind, None)
            self._left -= time.monotonic() - start
        measured = [seconds for seconds in found.values() if seconds is not None]
        seconds = found.get(kind) or (mean(measured) if measured else None)
        if seconds is None:
            return None
        model = self._first_model(run, scenario)
        first = model is None or model not in self._seeds
        self._seeds.add(model)
        return seconds + (self._first_models.get(scenario, 0.0) if first else 0.0)

    def _first_model(self, run: Run, scenario: str) -> Hashable:
        """Return what runs have in common that take over one first model; ``None``: no other."""
        if scenario not in self._searches:
            return scenario, run.seed
        from benchmark.first_model.storage import place_of
        from benchmark.preparation import scenario_settings

        return place_of(run, scenario_settings(run.spec), Path(), plain=True)

    def _measured(self, run: Run, scenario: str) -> float:
        new = scenario not in self._steps
        if new:
            self._look_at(run, scenario)
        if scenario in self._searches:
            found = self._searches[scenario](run)
            self._first_models[scenario] = self._searches[scenario].warm_start
            return found
        steps = self._steps[scenario]
        if new:
            self._seconds(run, 1)  # imports and first uses are no part of a run
            self._one_step[scenario] = self._seconds(run, 1)
        if self._one_step[scenario] > _SLOW_SECONDS:
            one = self._one_step[scenario] if new else self._seconds(run, 1)
            return one + max(0.0, self._seconds(run, 3) - one) / 2 * (steps - 1)
        curve = run.spec.scenario.settings.get("curve") or {}
        every, first = curve.get("every") or 0, curve.get("first") or 0
        interval = every if 0 < every <= _LONGEST_CURVE else _STEPS
        short = min(int(steps), first + interval)
        long = min(int(steps), short + 2 * interval)
        before = [self._seconds(run, each) for each in (short, long)] if new else []
        one, two = (self._seconds(run, each) for each in (short, long))
        if new and long > short:
            saved = (before[1] - two) / long
            self._first_models[scenario] = max(0.0, saved) * steps
        if long == short:
            return two
        return one + max(0.0, two - one) / (long - short) * (steps - short)

    def _look_at(self, run: Run, scenario: str) -> None:
        """Note the steps of each model, on average, or that it is a search."""
        built = self._built(run)
        if built.search is not None:
            self._searches[scenario] = SearchProbe(built, self._seconds_with, self._root)
        self._steps[scenario] = mean(built.steps)

    def _built(self, run: Run) -> Scenario:
        """Build a run's scenario; the data are in memory afterwards."""
        from benchmark.preparation import scenario_settings

        settings = scenario_settings(run.spec)
        for name in settings.data_sets():
            if not name.startswith(PREFIXES) and not is_there(name, self._root):
                raise FileNotFoundError(name)  # a probe downloads nothing
        return settings.build(run.seed, self._root, run.spec.device)

    def _seconds(self, run: Run, steps: int) -> float:
        return self._seconds_with(run, {"steps": steps, "epochs": None, "online": False})

    def _seconds_with(self, run: Run, changes: dict[str, Any]) -> float:
        """Carry out a run with other settings of its scenario."""
        spec = Spec({**run.spec.data, "scenario": {**run.spec.data["scenario"], **changes}})
        short = replace(run, spec=spec, key=spec.key())
        ((record,),) = self._executor.execute([(short,)], lambda job, advance: None)
        if record.status != "done":
            raise ValueError(record.error)
        return record.seconds
