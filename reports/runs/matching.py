"""The cells of two stores, matched by the settings that decide their results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.store import Record
from reports.runs.cells import group
from reports.statistics.ratio import REDUCTION, forgetting_pairs, linearised

Name = tuple[str, str]
"""A cell's scenario, and its strategy with the strength."""


@dataclass(frozen=True)
class StoredCell:
    """The runs of one scenario, strategy and strength in one store, by seed."""

    first: Record
    settings: dict[str, Any]
    runs: dict[int, Record] = field(default_factory=dict)

    @property
    def seeds(self) -> set[int]:
        """All its seeds."""
        return set(self.runs)

    @property
    def done(self) -> dict[int, Record]:
        """The finished runs."""
        return {seed: record for seed, record in self.runs.items() if record.status == "done"}

    @property
    def failed(self) -> dict[int, Record]:
        """The runs that failed."""
        return {seed: record for seed, record in self.runs.items() if record.status == "failed"}

    @property
    def names(self) -> tuple[str, str, float | None]:
        """Scenario, strategy and strength."""
        return self.first.scenario, self.first.strategy, self.first.strength

    def values(self, metric: str) -> dict[int, float]:
        """Return a metric of the finished runs where it is defined."""
        if metric == REDUCTION:  # a ratio of means: not the ratios of single seeds
            return linearised(forgetting_pairs(self.done.values()))
        found = {seed: record.metrics.get(metric) for seed, record in self.done.items()}
        return {seed: value for seed, value in found.items() if value is not None}


CellPair = tuple[StoredCell | None, StoredCell | None]
NamedPair = tuple[Name, StoredCell | None, StoredCell | None]


def matched_cells(a: Sequence[Record], b: Sequence[Record]) -> list[NamedPair]:
    """Match the cells of two stores, with the names and the order of the report.

    Args:
        a: The runs of one store.
        b: The runs of the other.

    Returns:
        Each cell's name and its runs in both; ``None`` where a store has no such cell.
    """
    return _named(_matched(_stored(a), _stored(b)))


def _stored(records: Sequence[Record]) -> dict[str, StoredCell]:
    """Collect the runs of each cell by its settings; the newest of a seed counts."""
    found: dict[str, StoredCell] = {}
    for record in sorted(records, key=lambda r: r.started):
        settings = _settings(record)
        cell = found.setdefault(json.dumps(settings, sort_keys=True), StoredCell(record, settings))
        cell.runs[record.seed] = record
    return found


def _settings(record: Record) -> dict[str, Any]:
    """What decides a cell's results except the code, as a flat mapping."""
    spec, strategy = record.spec, record.spec.strategy
    own = {"name": strategy.name, "strategy": strategy.kind, "plugin": strategy.plugin}
    return {
        "strength": spec.strength,
        **spec.circumstances,
        **{f"scenario.{name}": value for name, value in spec.scenario.data.items()},
        **{f"strategy.{name}": value for name, value in own.items() if value is not None},
        **{f"settings.{name}": value for name, value in strategy.settings.items()},
    }


def _matched(a: dict[str, StoredCell], b: dict[str, StoredCell]) -> list[CellPair]:
    """Pair cells with equal settings; cells without a partner are kept, too.

    A newer version may have a setting that an older one lacks: if each side has one unpaired cell
    of a name, these two are a pair, too, where they agree on all settings that both have.
    """
    pairs: list[CellPair] = [(a[key], b[key]) for key in a if key in b]
    left: dict[Any, tuple[list[StoredCell], list[StoredCell]]] = {}
    for side, (own, others) in enumerate(((a, b), (b, a))):
        for cell in (cell for key, cell in own.items() if key not in others):
            left.setdefault(cell.names, ([], []))[side].append(cell)
    for before, after in left.values():
        if len(before) == len(after) == 1 and _agree(before[0].settings, after[0].settings):
            pairs.append((before[0], after[0]))
        else:
            pairs += [*((cell, None) for cell in before), *((None, cell) for cell in after)]
    return pairs


def _agree(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a[name] == b[name] for name in a.keys() & b.keys())


def _named(pairs: Sequence[CellPair]) -> list[NamedPair]:
    """Name and order the pairs as the report does its cells: settings added to ambiguous names."""
    shown: dict[int, tuple[Record, CellPair]] = {}
    for pair in pairs:
        first = next(cell.first for cell in pair if cell)
        # Without the seed, the version of the code and the probes, which change no result.
        spec = first.spec.without("seed", "results_version", "probes")
        record = replace(first, spec=spec)
        shown[id(record)] = record, pair
    return [
        ((cell.scenario, cell.variant.label), *shown[id(record)][1])
        for cell in group([record for record, _ in shown.values()])
        for record in cell.runs
    ]
