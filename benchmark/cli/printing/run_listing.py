"""``palimpsest list runs``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palimpsest.benchmark.cli.printing.listings import print_rows
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.metrics import AVERAGE, METRICS, Metric, added_metrics, columns
from palimpsest.benchmark.results.run_settings import ambiguous, differing, settings_of, value_of
from palimpsest.benchmark.results.selection import Selection
from palimpsest.benchmark.store.archive import read_runs, read_suites
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import STRENGTH
from palimpsest.reports.formats.terminal import SEARCH_METRICS

_SHOWN = ("stability", "learning_accuracy", "forgetting", "plasticity")
"""The metrics in the list of runs, besides those of plugins; ``--json`` has all."""

_DIAL = "dial value"
"""The heading where strategies have dials of several names."""


def runs(store: Path, selection: Selection, as_json: bool) -> None:
    """Print the runs in a store.

    Raises:
        UserError: The store cannot be read, or has no runs of a chosen name.
    """
    records, notes = read_runs(store), read_suites(store)
    records = selection.only(records, notes)
    if as_json:
        say(runs_json(records))
        return
    names = columns(_SHOWN, records, otherwise=AVERAGE)
    if any(record.status == "done" for record in records):
        names += columns(SEARCH_METRICS, records)
    names += columns([metric.name for metric in added_metrics()], records)
    shown = [METRICS[name] for name in names]
    dials = {r.spec.strategy.dial for r in records if r.strength is not None} or {STRENGTH}
    heading = dials.pop() if len(dials) == 1 else _DIAL
    settings = ambiguous(records)
    print_rows(
        [
            {
                "key": r.key,
                "scenario": r.scenario,
                "strategy": r.strategy,
                heading: _dial(r, named=heading == _DIAL),
                **_settings_of(r, settings),
                "seed": r.seed,
                "status": r.status,
                **{metric.name: _number(metric, r.metrics[metric.name]) for metric in shown},
                "seconds": f"{r.seconds:.1f}",
                "error": r.error or "",
            }
            for r in records
        ],
        as_json=False,
    )


def _settings_of(record: Record, names: Sequence[str]) -> dict[str, Any]:
    """Return settings of a run by name; empty texts for those that it does not have."""
    own = settings_of(record.spec)
    found = {name: value_of(own.get(name)) for name in names}
    return {name: "" if value is None else value for name, value in found.items()}


def _dial(record: Record, *, named: bool) -> str:
    """Write the value of a run's dial, with the dial's name where the heading lacks it."""
    from palimpsest.reports.wording.numbers import strength_text

    if record.strength is None:
        return ""
    value = strength_text(record.strength)
    return f"{record.spec.strategy.dial} {value}" if named else value


def runs_json(records: list[Record]) -> str:
    """Return runs as a JSON array: the contract that scripts rely on.

    ``settings`` has those that are columns of a frame: in which the runs differ.
    """
    plain = ("key", "suite", "scenario", "strategy", "strength", "seed", "status", "error")
    settings = differing(records)
    rows = [
        {name: getattr(run, name) for name in plain}
        | {
            "settings": {name: settings_of(run.spec).get(name) for name in settings},
            "metrics": dict(run.metrics),
            "accuracy_matrix": run.accuracy_matrix,
            "spec": run.spec.data,
        }
        for run in records
    ]
    return json.dumps(rows, indent=1)


def _number(metric: Metric, value: float | None) -> str:
    from palimpsest.reports.wording.numbers import measured

    return "" if value is None else measured(metric)(value)
