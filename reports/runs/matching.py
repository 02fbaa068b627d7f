"""The cells of two stores, matched by the settings that decide their results."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.results.run_settings import CODE, settings_of
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.ratio import linearised, ratio_pairs

Name = tuple[str, str]
"""A cell's scenario, and its strategy with the strength."""


@dataclass(frozen=True)
class StoredCell:
    """The runs of one scenario, strategy and strength in one store, by seed."""

    first: Record
    settings: dict[str, Any]
    runs: dict[int, Record] = field(default_factory=dict)

    @property
    def done(self) -> dict[int, Record]:
        """The finished runs."""
        return {seed: record for seed, record in self.runs.items() if record.status == "done"}

    @property
    def failed(self) -> dict[int, Record]:
        """The runs that failed."""
        return {seed: record for seed, record in self.runs.items() if record.status == "failed"}

    def values(self, metric: str) -> dict[int, float]:
        """Return a metric of the finished runs where it is defined."""
        if METRICS[metric].ratio:  # a ratio of means: not the ratios of single seeds
            return linearised(ratio_pairs(metric, self.done.values()))
        found = {seed: record.metrics.get(metric) for seed, record in self.done.items()}
        return {seed: value for seed, value in found.items() if value is not None}


CellPair = tuple[StoredCell | None, StoredCell | None]
NamedPair = tuple[Name, StoredCell | None, StoredCell | None]


def matched_cells(
    a: Sequence[Record], b: Sequence[Record], ignore: Callable[[str], bool] = lambda _: False
) -> list[NamedPair]:
    """Match the cells of two stores, with the names and the order of the report.

    Args:
        a: The runs of one store.
        b: The runs of the other.
        ignore: Whether two cells are a pair, too, that differ in a setting, by its name as
            ``settings_of`` has it; those without such a difference come first.

    Returns:
        Each cell's name and its runs in both; ``None`` where a store has no such cell.
    """
    return _named(_matched(_stored(a), _stored(b), ignore))


def _stored(records: Sequence[Record]) -> dict[str, StoredCell]:
    """Collect the runs of each cell by its settings; the newest of a seed counts.

    Where a plugin or the user's own data were edited in between, only the newest runs count.
    """
    cells: dict[tuple[str, object], StoredCell] = {}
    latest: dict[str, StoredCell] = {}
    for record in sorted(records, key=lambda r: r.started):
        settings, code = _settings(record), record.spec.code
        key = json.dumps(settings, sort_keys=True)
        own = key, (code.scenario, code.strategy[0])
        latest[key] = cells.setdefault(own, StoredCell(record, settings))
        latest[key].runs[record.seed] = record
    return latest


def _settings(record: Record) -> dict[str, Any]:
    """What decides a cell's results except the code, as a flat mapping."""
    spec = record.spec
    return {
        "strength": spec.strength,
        "scenario.name": spec.scenario.name,
        "strategy.name": spec.strategy.name,
        "strategy.kind": spec.strategy.kind,
        **{name: value for name, value in settings_of(spec).items() if name not in CODE},
    }


def _matched(
    a: dict[str, StoredCell], b: dict[str, StoredCell], ignore: Callable[[str], bool]
) -> list[CellPair]:
    """Pair cells with equal settings; cells without a partner are kept, too.

    Then those whose settings are equal except for ignored ones, if each side has one of them. An
    edited plugin may have a new setting: if each side has one unpaired cell of a name, these two
    are a pair where they agree on all settings that both have.
    """
    pairs: list[CellPair] = [(a[key], b[key]) for key in a if key in b]
    left: list[CellPair] = [
        (cell, None) if own is a else (None, cell)
        for own, others in ((a, b), (b, a))
        for key, cell in own.items()
        if key not in others
    ]
    for alike in (lambda cell: json.dumps(_kept(cell, ignore), sort_keys=True), _names):
        left, found = _paired(left, alike, ignore)
        pairs += found
    return [*pairs, *left]


def _paired(
    left: Sequence[CellPair], alike: Callable[[StoredCell], Any], ignore: Callable[[str], bool]
) -> tuple[list[CellPair], list[CellPair]]:
    """Pair cells that are alike where each side has one; return those left over, and the pairs."""
    sides: dict[Any, tuple[list[StoredCell], list[StoredCell]]] = {}
    for before, after in left:
        for side, cell in enumerate((before, after)):
            if cell:
                sides.setdefault(alike(cell), ([], []))[side].append(cell)
    over: list[CellPair] = []
    pairs: list[CellPair] = []
    for one, other in sides.values():
        if len(one) == len(other) == 1 and _agree(_kept(one[0], ignore), _kept(other[0], ignore)):
            pairs.append((one[0], other[0]))
        else:
            over += [*((cell, None) for cell in one), *((None, cell) for cell in other)]
    return over, pairs


def _names(cell: StoredCell) -> tuple[str, str, float | None]:
    return cell.first.scenario, cell.first.strategy, cell.first.strength


def _kept(cell: StoredCell, ignore: Callable[[str], bool]) -> dict[str, Any]:
    return {name: value for name, value in cell.settings.items() if not ignore(name)}


def _agree(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a[name] == b[name] for name in a.keys() & b.keys())


def _named(pairs: Sequence[CellPair]) -> list[NamedPair]:
    """Name and order the pairs as the report does its cells: settings added to ambiguous names."""
    shown: dict[int, tuple[Record, CellPair]] = {}
    for pair in pairs:
        first = next(cell.first for cell in pair if cell)
        # Without the seed, the version of the code and the probes, which change no result.
        spec = first.spec.without("seed", "versions", "probes")
        record = replace(first, spec=spec)
        shown[id(record)] = record, pair
    return [
        ((cell.scenario, cell.variant.label), *shown[id(record)][1])
        for cell in group([record for record, _ in shown.values()])
        for record in cell.runs
    ]
