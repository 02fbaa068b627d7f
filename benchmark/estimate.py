"""How long runs will take: from finished runs of the same kind, else from a timed probe."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from statistics import mean

from benchmark.spec import Spec
from benchmark.store import Record
from benchmark.suite import Run

Probe = Callable[[Run], float | None]
"""Measures about how many seconds a run takes; ``None`` if it cannot."""


def estimate(
    todo: Sequence[Run], known: Sequence[Record], workers: int, probe: Probe | None = None
) -> str:
    """Return the time in words.

    A run takes as long as finished runs of its scenario and strategy; else as those of its scenario
    with other strategies, times what its strategy costs beside them in other scenarios; else as
    the probe finds.

    Args:
        todo: The runs to carry out.
        known: Finished runs to estimate from.
        workers: How many run at once.
        probe: For scenarios that have no finished runs.
    """
    finished = _Finished([record for record in known if record.status == "done"])
    seconds, unknown = 0.0, 0
    for run in todo:
        found = finished.seconds(run.spec)
        if found is None and probe is not None:
            found = probe(run)
        unknown += found is None
        seconds += found or 0.0
    if unknown and unknown == len(todo):
        return "nothing is known of how long"
    seconds *= len(todo) / max(1, len(todo) - unknown)
    minutes = seconds / min(workers, max(1, len(todo))) / 60
    rough = "very roughly" if unknown else "about"
    if minutes < 1:
        return f"{rough} {max(1, round(60 * minutes))} s"
    return f"{rough} {minutes:.0f} min"


class _Finished:
    """Mean seconds of finished runs: by scenario and strategy, and by kind of strategy."""

    def __init__(self, records: Sequence[Record]) -> None:
        exact: dict[Hashable, list[float]] = {}
        kinds: dict[Hashable, dict[str, list[float]]] = {}
        for record in records:
            scenario, strategy = scenario_of(record.spec), _strategy(record.spec)
            kind = record.spec.strategy.kind
            exact.setdefault((scenario, strategy), []).append(record.seconds)
            kinds.setdefault(scenario, {}).setdefault(kind, []).append(record.seconds)
        self._exact = {key: mean(values) for key, values in exact.items()}
        self._kinds = {
            scenario: {kind: mean(values) for kind, values in own.items()}
            for scenario, own in kinds.items()
        }

    def seconds(self, spec: Spec) -> float | None:
        """Return what a run takes; ``None`` if no run of its scenario has finished."""
        scenario, kind = scenario_of(spec), spec.strategy.kind
        exact = self._exact.get((scenario, _strategy(spec)))
        here = self._kinds.get(scenario)
        if exact is not None or here is None:
            return exact
        if kind in here:
            return here[kind]
        beside = [
            own[kind] / own[other] * here[other]
            for own in self._kinds.values()
            if kind in own
            for other in own.keys() & here.keys()
            if own[other] > 0
        ]
        return mean(beside or here.values())


def scenario_of(spec: Spec) -> str:
    """Return what runs of equal length have in common besides the strategy, as text."""
    settings = {name: value for name, value in spec.scenario.data.items() if name != "name"}
    return json.dumps([settings, spec.device], sort_keys=True)


def _strategy(spec: Spec) -> str:
    return json.dumps([spec.strategy.kind, spec.strategy.settings], sort_keys=True)
