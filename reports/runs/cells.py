"""Which runs belong together: the same scenario and the same variant, over seeds.

A variant is a strategy at one strength, or at one value of another dial. Names come from the
suites. If one name stands for different settings (two suites in one store, or an edited suite),
the settings that differ are added to it, so that different experiments are never averaged. Of runs
that differ only in the code that made them (a plugin was edited), the newest count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.runs.record import (
    ALONE,
    BASELINE,
    JOINT,
    LIMIT,
    STRENGTH,
    Dial,
    Facts,
    Role,
)  # fmt: skip
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.benchmark.suites.spec import ScenarioSpec, Spec, StrategySpec
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.ratio import ratio_pairs, removed
from palimpsest.reports.wording.numbers import strength_text
from palimpsest.reports.wording.words import natural

_PLACE: Mapping[Role, int] = {BASELINE: 0, LIMIT: 2, ALONE: 3, JOINT: 4}

_SEVERAL = Dial("dial value", "dial values")
"""Dials of several names that stand together."""


@dataclass(frozen=True)
class Variant:
    """A strategy at one strength.

    Attributes:
        strategy: Its name in the suite, with settings added where it is ambiguous.
        strength: The value of its dial, ``None`` where it has none.
        place: Where it stands among the strategies of its suite; 0 where that is not known.
    """

    strategy: str
    facts: Facts = field(repr=False, compare=False)
    strength: float | None = None
    place: int = field(default=0, compare=False)

    @property
    def kind(self) -> str:
        """What it is (``wpl``), whatever the suite calls it."""
        return self.facts.name

    @property
    def role(self) -> Role:
        """What it is compared as."""
        return self.facts.role

    @property
    def is_reference(self) -> bool:
        """Whether others are compared with it."""
        return self.facts.is_reference

    @property
    def dial(self) -> Dial:
        """What its values are values of."""
        return self.facts.dial or STRENGTH

    @property
    def label(self) -> str:
        """``wpl, strength 1e4``, ``adapter, rank 4`` or ``finetune``."""
        return f"{self.strategy}, {self.setting}" if self.setting else self.strategy

    @property
    def setting(self) -> str:
        """``strength 1e4`` or ``rank 4``; empty where it has no dial."""
        return f"{self.dial.name} {self.value}" if self.value else ""

    @property
    def value(self) -> str:
        """``1e4``, or ``200`` of a rank or a memory; empty where it has no dial."""
        return "" if self.strength is None else strength_text(self.strength)

    @property
    def order(self) -> tuple[int, int, object, float]:
        """Sort key: fine-tuning, the strategies in the suite's order, the other references.

        Where the suite's order is not known, strategies are in the order of their names, ``v2``
        before ``v10``. Each goes from weak to strong.
        """
        weakest = float("-inf") if self.strength is None else self.strength
        return _PLACE.get(self.role, 1), self.place, natural(self.strategy), weakest


def dial_of(variants: Iterable[Variant]) -> Dial:
    """Return the dial of variants: one with a neutral name where they have several.

    Args:
        variants: Those without a dial do not count; where none has one, it is a strength.
    """
    found = {variant.dial.name: variant.dial for variant in variants if variant.setting}
    return _SEVERAL if len(found) > 1 else next(iter(found.values()), STRENGTH)


@dataclass(frozen=True, eq=False)
class Cell:
    """The runs of one variant in one scenario.

    Attributes:
        scenario: The scenario's name, with settings added where it is ambiguous.
        done: Finished runs, one per seed, in the order of their seeds.
        repeated: Runs that are left out: finished ones of which newer ones have the same seed, and
            any that were made by earlier code than others of the strategy.
        place: Where the scenario stands in its suite; 0 where that is not known.
    """

    scenario: str
    variant: Variant
    done: tuple[Record, ...]
    failed: tuple[Record, ...]
    repeated: tuple[Record, ...]
    place: int = 0

    @property
    def order(self) -> tuple[int, str, tuple[int, int, object, float]]:
        """Sort key: by scenario, in the suite's order or else the alphabet's, and by variant."""
        return self.place, self.scenario, self.variant.order

    @property
    def outdated(self) -> list[Record]:
        """Those that are left out since later code made the others."""
        codes = {record.spec.code for record in (*self.done, *self.failed)}
        return [record for record in self.repeated if record.spec.code not in codes]

    @property
    def runs(self) -> Iterator[Record]:
        """All runs of the cell."""
        yield from (*self.done, *self.failed, *self.repeated)

    def interval(self, metric: str) -> Estimate:
        """Return a metric's mean over the seeds with its interval, as fractions."""
        if metric not in self._intervals:
            asked = METRICS[metric]
            if asked.ratio:
                found = removed(ratio_pairs(metric, self.done))
            else:
                values = {record.seed: record.metrics.get(metric) for record in self.done}
                found = mean_estimate({self.scenario: values}, asked.bounds)
            self._intervals[metric] = found
        return self._intervals[metric]

    @cached_property
    def _intervals(self) -> dict[str, Estimate]:
        """By metric: tables, figures and sentences ask for the same ones."""
        return {}

    @property
    def removed(self) -> Estimate:
        """The share of fine-tuning's forgetting that is avoided: a ratio of means over seeds."""
        return self.interval("forgetting_reduction")


def group(records: Sequence[Record], suites: Sequence[SuiteNote] = ()) -> list[Cell]:
    """Sort runs into cells, ordered by scenario and variant.

    Args:
        records: The runs.
        suites: What is known of their suites. Scenarios and strategies stand in these suites'
            order, one suite after the other, and then what none of them names, ``v2`` before
            ``v10``. Without suites, the order is that of the alphabet.
    """
    scenarios = _places((n for s in suites for n in s.scenarios), (r.scenario for r in records))
    strategies = _places((n for s in suites for n in s.strategies), (r.strategy for r in records))
    names = zip(
        _complete(map(_scenario_of, records)), _complete(map(_strategy_of, records)), strict=True
    )
    rows = sorted(
        ((record, *name) for record, name in zip(records, names, strict=True)),
        key=lambda row: row[0].started,
    )
    scenario_codes = {scenario: record.spec.code.scenario for record, scenario, _ in rows}
    facts = {strategy: record.facts for record, _, strategy in rows}
    plugins = {  # of all strengths of a strategy, the last one's
        (scenario, strategy): record.spec.code.strategy[0]
        for record, scenario, strategy in rows
        if record.spec.code.scenario == scenario_codes[scenario]
    }
    members: dict[tuple[str, Variant], list[Record]] = {}
    for record, scenario, strategy in rows:
        place = strategies.get(record.strategy, 0)
        variant = Variant(strategy, facts[strategy], record.strength, place)
        members.setdefault((scenario, variant), []).append(record)
    cells = []
    for (scenario, variant), runs in members.items():
        code = scenario_codes[scenario], plugins.get((scenario, variant.strategy))
        cells.append(_cell(scenario, variant, runs, scenarios.get(runs[0].scenario, 0), code))
    return sorted(cells, key=lambda cell: cell.order)


def by_scenario(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Return the cells of each scenario."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.scenario, []).append(cell)
    return found


def _places(known: Iterable[str], found: Iterable[str]) -> dict[str, int]:
    """Number names: first those known, then the others in natural order; none if none is known."""
    names = list(dict.fromkeys(known))
    if names:
        names += sorted(set(found) - set(names), key=natural)
    return {name: place for place, name in enumerate(names)}


def _cell(
    scenario: str,
    variant: Variant,
    runs: Sequence[Record],
    place: int,
    code: tuple[tuple[str | None, ...], str | None],
) -> Cell:
    """Make a cell of runs in the order of their start, and the latest code of its kind."""
    codes = [record.spec.code for record in runs]
    latest = [own for own in codes if (own.scenario, own.strategy[0]) == code][-1:]
    own = [record for record in runs if record.spec.code in latest]
    newest = {record.seed: record for record in own if record.status == "done"}
    failed = tuple(record for record in own if record.status == "failed")
    counted = {id(record) for record in (*newest.values(), *failed)}
    left_out = tuple(record for record in runs if id(record) not in counted)
    done = tuple(newest[seed] for seed in sorted(newest))
    return Cell(scenario, variant, done, failed, left_out, place)


_CODE = ("plugin", "network_plugin", "content")


def _scenario_settings(spec: Spec, scenario: ScenarioSpec) -> dict[str, Any]:
    """Everything that runs must share to be compared, such as the device; not the code."""
    own = {**scenario.data, **spec.circumstances}
    return {name: value for name, value in own.items() if name not in _CODE}


def _strategy_settings(strategy: StrategySpec) -> dict[str, Any]:
    return {n: v for n, v in strategy.without_dial.data.items() if n not in _CODE}


_Named = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""A name, all settings, and those that differ from their defaults."""


def _scenario_of(record: Record) -> _Named:
    spec, own = record.spec, record.spec.scenario
    return record.scenario, _scenario_settings(spec, own), _scenario_settings(spec, own.changed)


def _strategy_of(record: Record) -> _Named:
    own = record.spec.strategy
    return record.strategy, _strategy_settings(own), _strategy_settings(own.changed)


def _complete(found: Iterable[_Named]) -> list[str]:
    """Complete each name with the settings that tell it apart from others of the same name."""
    flat = [(name, dict(_flatten(own)), dict(_flatten(changed))) for name, own, changed in found]
    seen: dict[str, list[dict[str, str]]] = {}
    for name, _, changed in flat:
        known = seen.setdefault(name, [])
        if changed not in known:
            known.append(changed)
    names = []
    for name, own, _ in flat:
        known = seen[name]
        keys = dict.fromkeys([*own, *(key for other in known for key in other)])
        differing = [key for key in keys if len({other.get(key) for other in known}) > 1]
        parts = ", ".join(
            f"{key.rpartition('.')[2]} {own.get(key, 'not set')}" for key in differing
        )
        names.append(f"{name} ({parts})" if parts else name)
    return names


def _flatten(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", text) for inner, text in _flatten(value))
        else:
            yield key, value if isinstance(value, str) else json.dumps(value, sort_keys=True)
