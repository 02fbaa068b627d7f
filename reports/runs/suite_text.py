"""The suite files that reproduce the runs of a report, whatever file or options made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from palimpsest.benchmark.runs.record import STRENGTH, Dial
from palimpsest.benchmark.store.store import Record, SuiteNote


def suite_files(records: Sequence[Record], notes: Sequence[SuiteNote] = ()) -> dict[str, str]:
    """Write one suite file per suite, with all settings, defaults included.

    ``palimpsest run`` gives the runs of such a file the keys of the records. A suite that was
    edited in between, so that one name stands for different settings, has no file.

    Args:
        records: Runs of one or several suites.
        notes: The suites' descriptions, and the order of their scenarios and strategies.

    Returns:
        YAML by the name of the suite.
    """
    by_suite: dict[str, list[Record]] = {}
    for record in records:
        by_suite.setdefault(record.suite, []).append(record)
    known = {note.name: note for note in notes}
    contents = {
        name: _content(known.get(name, SuiteNote(name, "", (), ())), members)
        for name, members in by_suite.items()
    }
    return {
        name: yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        for name, content in contents.items()
        if content is not None
    }


def _content(note: SuiteNote, records: Sequence[Record]) -> dict[str, Any] | None:
    scenarios: dict[str, Any] = {}
    strategies: dict[str, Any] = {}
    dials: dict[str, Dial] = {}
    swept: dict[str, set[float]] = {}
    probes = records[0].spec.probes
    for record in records:
        scenario, strategy = record.spec.scenario.settings, record.spec.strategy.without_dial
        entry = {"strategy": strategy.kind, **strategy.settings}
        if (
            scenarios.setdefault(record.scenario, scenario) != scenario
            or strategies.setdefault(record.strategy, entry) != entry
            or record.spec.probes != probes
        ):
            return None
        if record.strength is not None:
            dials[record.strategy] = record.facts.dial or STRENGTH
            swept.setdefault(record.strategy, set()).add(record.strength)
    for name, values in swept.items():
        dial = dials[name]
        listed = {dial.plural: sorted(values)}
        strategies[name] |= {dial.name: values.pop()} if len(values) == 1 else listed
    return {
        "suite": note.name,
        **({"description": note.description} if note.description else {}),
        "seeds": sorted({record.seed for record in records}),
        **({"probes": list(probes)} if probes else {}),
        "scenarios": _ordered(scenarios, note.scenarios),
        "strategies": _ordered(strategies, note.strategies),
    }


def _ordered(entries: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    first = {name: entries[name] for name in names if name in entries}
    return first | entries
