"""Chooses runs of a store: those of some suites, scenarios and strategies.

A run is stored once, under the suite that first asked for it. Another suite asks for the same run
if its file has the run's scenario and strategy with the same settings. A store keeps the names of a
suite's scenarios and strategies, but settings of its own runs only. So a run belongs to another
suite, too, if that suite has its names, and no runs of its own that give one of these names other
settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from palimpsest.benchmark.errors import UserError, nearest, quoted
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.note import SuiteNote


@dataclass(frozen=True)
class Selection:
    """A choice among runs, by names of suites, scenarios and strategies; ``None`` chooses all."""

    suites: Sequence[str] | None = None
    scenarios: Sequence[str] | None = None
    strategies: Sequence[str] | None = None

    @property
    def options(self) -> list[str]:
        """The options of the command line that make this choice."""
        given = (
            ("--suite", self.suites),
            ("--scenario", self.scenarios),
            ("--strategies", self.strategies),
        )
        return [text for name, own in given if own is not None for text in (name, ",".join(own))]

    def check(self, records: Sequence[Record], notes: Iterable[SuiteNote] = ()) -> None:
        """Refuse names that no run has.

        Raises:
            UserError: Names the option, and the nearest name.
        """
        suites = {*(record.suite for record in records), *(note.name for note in notes)}
        for what, names, known in (
            ("suite", self.suites, suites),
            ("scenario", self.scenarios, {record.scenario for record in records}),
            ("strategy", self.strategies, {record.strategy for record in records}),
        ):
            for name in names or ():
                if name not in known:
                    raise UserError(
                        f"there is no run of the {what} {quoted(name)}; {nearest(name, known)}"
                    )

    def only(self, records: Sequence[Record], notes: Sequence[SuiteNote] = ()) -> list[Record]:
        """Return the chosen runs: at least one, unless there is no run at all.

        Raises:
            UserError: A name is unknown, or no run has all that was chosen.
        """
        self.check(records, notes)
        found = self.chosen(records, notes)
        if records and not found:
            raise UserError(
                "there is no run of the suites, scenarios and strategies that were chosen; choose "
                "fewer of these"
            )
        return found

    def chosen(self, records: Sequence[Record], notes: Sequence[SuiteNote] = ()) -> list[Record]:
        """Return the chosen runs, in their order."""
        own = None
        if self.suites is not None:
            parts = by_suite(records, notes)
            own = {r.key for name in self.suites for r in parts.get(name, ())}
        return [
            record
            for record in records
            if (own is None or record.key in own)
            and (self.scenarios is None or record.scenario in self.scenarios)
            and (self.strategies is None or record.strategy in self.strategies)
        ]

    def narrowed(self, notes: Iterable[SuiteNote]) -> list[SuiteNote]:
        """Return the notes of the chosen suites, with the chosen names only."""
        return [
            replace(
                note,
                scenarios=_only(note.scenarios, self.scenarios),
                strategies=_only(note.strategies, self.strategies),
            )
            for note in notes
            if self.suites is None or note.name in self.suites
        ]


def _only(names: Sequence[str], chosen: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(name for name in names if chosen is None or name in chosen)


def by_suite(records: Sequence[Record], notes: Sequence[SuiteNote] = ()) -> dict[str, list[Record]]:
    """Return the runs that each suite asks for, as far as a store knows.

    Returns:
        By name, the suite first whose own runs are the newest; suites without runs are left out.
        A run that several suites ask for is in each of them.
    """
    own: dict[str, list[Record]] = {note.name: [] for note in notes}
    for record in records:
        own.setdefault(record.suite, []).append(record)
    known = {note.name: note for note in notes}
    found = {}
    for name, runs in own.items():
        asks = _asks(known[name], runs) if name in known else lambda _: False
        found[name] = [record for record in records if record.suite == name or asks(record)]

    def newest(name: str) -> tuple[str, str]:
        return max((r.started for r in own[name] or found[name]), default=""), name

    return {name: found[name] for name in sorted(found, key=newest, reverse=True) if found[name]}


def _asks(note: SuiteNote, own: Sequence[Record]) -> Callable[[Record], bool]:
    """Return whether a suite asks for a run of another suite, as far as its own runs tell."""
    scenarios = _settings((r.scenario, _scenario(r)) for r in own)
    strategies = _settings((r.strategy, _strategy(r)) for r in own)
    names = {*note.scenarios}, {*note.strategies}

    def asks(record: Record) -> bool:
        if record.scenario not in names[0] or record.strategy not in names[1]:
            return False
        here = scenarios.get(record.scenario), strategies.get(record.strategy)
        return (here[0] is None or _scenario(record) in here[0]) and (
            here[1] is None or _strategy(record) in here[1]
        )

    return asks


def _settings(pairs: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, settings in pairs:
        found.setdefault(name, set()).add(settings)
    return found


def _scenario(record: Record) -> str:
    return json.dumps([record.spec.hashed["scenario"], record.spec.circumstances], sort_keys=True)


def _strategy(record: Record) -> str:
    return json.dumps(record.spec.strategy.without_dial.changed.data, sort_keys=True)
