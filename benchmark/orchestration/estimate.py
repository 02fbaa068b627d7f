"""Estimates how long runs take, from finished runs of the same kind."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from statistics import fmean as mean
from typing import NamedTuple

from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.suite import Run

NOT_KNOWN = "not known before the first runs"
_LENGTHS = ("steps", "epochs")


class RunKind(NamedTuple):
    """The properties on which the time of a run depends.

    Attributes:
        scenario: All settings of the scenario, and the device, as JSON.
        strategy: The strategy's kind.
        settings: The strategy's settings, as JSON.
        alike: ``scenario`` without the length of its trainings.
        unit: The unit of that length: steps or epochs.
        length: The length.
    """

    scenario: str
    strategy: str
    settings: str
    alike: str
    unit: str
    length: int

    @classmethod
    def of(cls, spec: Spec) -> RunKind:
        """Return the kind of a run."""
        settings = {name: value for name, value in spec.scenario.data.items() if name != "name"}
        rest = {name: value for name, value in settings.items() if name not in _LENGTHS}
        unit = next((name for name in _LENGTHS if settings.get(name)), "")
        return cls(
            json.dumps([settings, spec.device], sort_keys=True),
            spec.strategy.kind,
            json.dumps(spec.strategy.without_dial.settings, sort_keys=True),
            json.dumps([rest, spec.device], sort_keys=True),
            unit,
            settings.get(unit) or 1,
        )


class DurationGuess(NamedTuple):
    """An estimate of the time of a run.

    Attributes:
        seconds: Wall-clock time of the whole run, including building and evaluation.
        direct: Whether runs of this scenario and kind of strategy have finished.
    """

    seconds: float
    direct: bool


class Durations:
    """Estimates of the time of runs from finished ones.

    The estimate is the mean time of runs with the same scenario and strategy; else of runs with the
    same scenario and other settings of the strategy; else of runs with other strategies, times the
    ratio of the strategies' times in other scenarios. If no run of the scenario has finished,
    scenarios count that differ only in steps or epochs: the time that depends on steps is scaled.

    Args:
        records: The first finished runs; failed ones are ignored.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._exact: dict[RunKind, list[float]] = {}
        self._scenarios: dict[str, dict[str, list[tuple[float, float]]]] = {}
        self._alike: dict[tuple[str, str], dict[str, int]] = {}
        self._guesses: dict[RunKind, DurationGuess | None] = {}
        self._ratios: dict[tuple[str, str], float] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Add a finished run."""
        if record.status != "done":
            return
        kind = RunKind.of(record.spec)
        self._exact.setdefault(kind, []).append(record.seconds)
        taken = (record.seconds, _growing_share(record))
        self._scenarios.setdefault(kind.scenario, {}).setdefault(kind.strategy, []).append(taken)
        self._alike.setdefault((kind.alike, kind.unit), {})[kind.scenario] = kind.length
        self._guesses.clear()

    def guess(self, kind: RunKind) -> DurationGuess | None:
        """Return the estimate for a run; ``None`` if no comparable run has finished."""
        if not self._guesses:
            self._ratios = self._compared()
        if kind not in self._guesses:
            self._guesses[kind] = self._guess(kind)
        return self._guesses[kind]

    def _guess(self, kind: RunKind) -> DurationGuess | None:
        if kind in self._exact:
            return DurationGuess(mean(self._exact[kind]), direct=True)
        scenario, growth = self._nearest(kind)
        here = self._by_strategy(scenario, growth)
        if not here:
            return None
        if kind.strategy in here:
            return DurationGuess(here[kind.strategy], direct=scenario == kind.scenario)
        pairs = [(seconds, (kind.strategy, other)) for other, seconds in here.items()]
        scaled = [seconds * self._ratios[pair] for seconds, pair in pairs if pair in self._ratios]
        return DurationGuess(mean(scaled or here.values()), direct=False)

    def _nearest(self, kind: RunKind) -> tuple[str, float]:
        """Return the known scenario with the nearest length, and the ratio of the lengths."""
        lengths = self._alike.get((kind.alike, kind.unit), {})
        growth = {scenario: kind.length / length for scenario, length in lengths.items()}
        nearest = min(growth, key=lambda scenario: abs(math.log(growth[scenario])), default="")
        return nearest, growth.get(nearest, 1.0)

    def _by_strategy(self, scenario: str, growth: float = 1.0) -> Mapping[str, float]:
        """Return the time of each kind of strategy in a scenario, scaled to a longer one."""
        return {
            strategy: mean(seconds * (1 + share * (growth - 1)) for seconds, share in runs)
            for strategy, runs in self._scenarios.get(scenario, {}).items()
        }

    def _compared(self) -> dict[tuple[str, str], float]:
        """Return the mean ratio of the times of two kinds of strategies over scenarios."""
        found: dict[tuple[str, str], list[float]] = {}
        for own in map(self._by_strategy, self._scenarios):
            for one, other in permutations(own, 2):
                if own[other] > 0:
                    found.setdefault((one, other), []).append(own[one] / own[other])
        return {pair: mean(ratios) for pair, ratios in found.items()}


def _growing_share(record: Record) -> float:
    """Return the share of a run's time that is proportional to its steps: training and curves."""
    cost = record.cost
    training = sum(filter(None, cost.get("training_seconds", ())))
    evaluation = cost.get("evaluation_seconds") or 0.0
    consolidation = sum(filter(None, cost.get("consolidation_seconds", ())))
    whole = training + evaluation + consolidation + (cost.get("building_seconds") or 0.0)
    growing = training + (evaluation if any(each["steps"] for each in record.curves) else 0.0)
    return float(growing / whole) if whole > 0 else 1.0


def estimate(todo: Sequence[Run], known: Iterable[Record], workers: int) -> str:
    """Return the estimated time of runs in words: ``about 5 min``.

    Args:
        todo: The missing runs.
        known: Finished runs.
        workers: The number of parallel runs.
    """
    durations = Durations(known)
    counts = Counter(RunKind.of(run.spec) for run in todo)
    guesses = {kind: guess for kind in counts if (guess := durations.guess(kind)) is not None}
    if not guesses:
        return NOT_KNOWN
    total = sum(counts[kind] * guess.seconds for kind, guess in guesses.items())
    longest = max(guess.seconds for guess in guesses.values())
    seconds = max(total / max(1, workers), longest)
    rough = "about" if all(guess.direct for guess in guesses.values()) else "very roughly"
    duration = f"{max(1, round(seconds))} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    unknown = len(todo) - sum(counts[kind] for kind in guesses)
    more = f" for {len(todo) - unknown} of them; of the others {NOT_KNOWN}" if unknown else ""
    return f"{rough} {duration}{more}"
