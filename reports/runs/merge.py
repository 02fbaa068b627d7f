"""Several stores become the runs of one report; different experiments are never averaged.

A run that is in several stores counts once. Where stores disagree about a run (the same
settings gave other numbers, say before and after a change of the code), all runs of its
strategy in its scenario carry the name of their store, so that they are shown side by side.
``reports/runs/cells.py`` separates runs with one name but different settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import METRICS, Matrix, reference_roles
from palimpsest.benchmark.runs.record import Role
from palimpsest.benchmark.store.archive import read_runs, read_suites
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.reports.wording.words import joined

_MEASURED = ("accuracy_matrix", "validation_matrix", "initial_accuracy", "curves", "moments")

_References = Mapping[str, Mapping[Role, Mapping[str, Matrix]]]
"""Accuracy matrices of reference runs: pairing -> role -> store."""


@dataclass(frozen=True)
class Merged:
    """The runs of several stores.

    Attributes:
        records: In the order of ``Store.records``, with the reference runs of their metrics from
            any of the stores.
        origin: Where they come from and how they were merged; follows "Runs from".
        disputed: Scenarios and strategies with a run whose results differ between stores.
        suites: What the stores know of their suites.
    """

    records: list[Record]
    origin: str
    disputed: Set[tuple[str, str]] = frozenset()
    suites: Sequence[SuiteNote] = ()


def read_stores(paths: Sequence[Path]) -> dict[str, list[Record]]:
    """Return the runs of each store by a short name that is unique among them.

    Raises:
        UserError: A file is missing, is not a store, or is named twice.
    """
    return {name: read_runs(path) for name, path in zip(store_names(paths), paths, strict=True)}


def read_notes(paths: Sequence[Path]) -> dict[str, list[SuiteNote]]:
    """Return what each store knows of its suites, by the names of ``read_stores``."""
    return {name: read_suites(path) for name, path in zip(store_names(paths), paths, strict=True)}


def store_names(paths: Sequence[Path]) -> list[str]:
    """Return each path's file name, with enough folders to make it unique: ``new/runs.db``.

    Raises:
        UserError: A file is named twice.
    """
    parts = [Path(os.path.realpath(path)).parts for path in paths]
    for place, own in enumerate(parts):
        if own in parts[:place]:
            raise UserError(f"{paths[place]}: this store is named twice; name it once")
    names = []
    for own in parts:
        depth = 1
        while sum(other[-depth:] == own[-depth:] for other in parts) > 1:
            depth += 1
        names.append("/".join(own[-depth:]))
    return names


def merge(
    stores: Mapping[str, Sequence[Record]], notes: Mapping[str, Sequence[SuiteNote]] | None = None
) -> Merged:
    """Make one list of the runs of several stores.

    * A run (same key) that is in several stores counts once: a finished run is preferred to a
      failed one, then the newest.
    * Where two stores hold different results of one run, the strategy is renamed in its
      scenario to ``wpl [before.db]`` and ``wpl [after.db]``, each with all of its store's runs.
    * A metric that needs a reference run takes it from the run's own store, or else from the
      others, unless they disagree about it.

    Args:
        stores: The runs of each store by its name, as ``read_stores`` returns them.
        notes: What each knows of its suites, as ``read_notes`` returns it. Where several know a
            suite, the first store counts.
    """
    disputed = _disputed(stores)
    references = _references(stores)
    pooled: dict[tuple[str, str], Record] = {}
    for name, records in stores.items():
        for record in records:
            own = _completed(record, name, references)
            if (record.scenario, record.strategy) in disputed:
                own = replace(own, strategy=f"{record.strategy} [{name}]")
            place = (own.strategy, own.key)
            pooled[place] = max(pooled.get(place, own), own, key=_precedence)
    origin = _origin(list(stores), disputed)
    suites = _suites(notes or {}, {strategy for _, strategy in disputed}, list(stores))
    return Merged(sorted(pooled.values(), key=_order), origin, disputed, suites)


def same_results(a: Record, b: Record) -> bool:
    """Whether two finished runs measured the same, bit for bit.

    Metrics that compare them with a reference run must be equal, too, unless only one of them
    has that run.
    """
    if any(getattr(a, name) != getattr(b, name) for name in _MEASURED):
        return False
    paired = (name for name, metric in METRICS.items() if metric.reference is not None)
    pairs = ((a.metrics[name], b.metrics[name]) for name in paired)
    return all(one == other for one, other in pairs if one is not None and other is not None)


def _suites(
    notes: Mapping[str, Sequence[SuiteNote]], disputed: Set[str], names: Sequence[str]
) -> list[SuiteNote]:
    """Each suite once, with the strategies that carry the name of a store after their own."""
    known: dict[str, SuiteNote] = {}
    for name in names:
        for note in notes.get(name, ()):
            known.setdefault(note.name, note)
    renamed = {
        name: [name, *(f"{name} [{store}]" for store in names if name in disputed)]
        for note in known.values()
        for name in note.strategies
    }
    return [
        replace(note, strategies=tuple(new for name in note.strategies for new in renamed[name]))
        for note in known.values()
    ]


def _disputed(stores: Mapping[str, Sequence[Record]]) -> set[tuple[str, str]]:
    """Scenarios and strategies with a run whose results differ between stores."""
    seen: dict[str, list[Record]] = {}
    found = set()
    for record in (record for records in stores.values() for record in records):
        if record.status != "done":
            continue
        others = seen.setdefault(record.key, [])
        if not all(same_results(other, record) for other in others):
            found.add((record.scenario, record.strategy))
        others.append(record)
    return found


def _references(stores: Mapping[str, Sequence[Record]]) -> _References:
    found: dict[str, dict[Role, dict[str, Matrix]]] = {}
    wanted = reference_roles()
    for name, records in stores.items():
        for record in records:
            role = record.facts.role
            if role in wanted and record.status == "done":
                roles = found.setdefault(record.spec.pairing, {})
                roles.setdefault(role, {})[name] = record.accuracy_matrix
    return found


def _completed(record: Record, store: str, references: _References) -> Record:
    """Give a run the references that its own store lacks, where the other stores agree."""
    usable: dict[Role, Matrix] = {}
    for role, by_store in references.get(record.spec.pairing, {}).items():
        candidates = list(by_store.values())
        if store not in by_store and all(matrix == candidates[0] for matrix in candidates):
            usable[role] = candidates[0]
    return replace(record, references={**usable, **record.references}) if usable else record


def _precedence(record: Record) -> tuple[bool, str]:
    return record.status == "done", record.started


def _order(record: Record) -> tuple[str, str, float, int, str]:
    strength = float("-inf") if record.strength is None else record.strength
    return record.scenario, record.strategy, strength, record.seed, record.key


def _origin(names: Sequence[str], disputed: set[tuple[str, str]]) -> str:
    if len(names) == 1:
        return names[0]
    text = f"{joined(names)}; a run that is in several of them counts once"
    if not disputed:
        return text
    strategies = ", ".join(sorted({strategy for _, strategy in disputed}))
    scenarios = ", ".join(sorted({scenario for scenario, _ in disputed}))
    return (
        f"{text}, but where they disagree about a run, its strategy carries the name of the store "
        f"({strategies} in {scenarios})"
    )
