"""``palimpsest show run``: everything that a store holds about one run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.cli.printing.progress import describe
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import METRICS, applies
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.store.archive import read_runs
from palimpsest.reports.wording.numbers import DASH, percent, quantity
from palimpsest.reports.wording.words import duration, several

_MOST_ROWS = 20
"""Rows printed of a probe and of moments; ``--json`` has all."""

_MOST_NAMED = 4


def show_run(key: str, store: Path, as_json: bool) -> None:
    """Print everything that a store holds about one run.

    Raises:
        UserError: The store cannot be read, or has no such run, or several.
    """
    record = find_run(key, read_runs(store), store)
    if as_json:
        say(json.dumps(as_data(record), indent=1))
        return
    console = table_console()
    for title, text in _sections(record):
        console.print(title, style="bold", soft_wrap=True)
        console.print(f"{text.rstrip()}\n", soft_wrap=True)


def find_run(key: str, records: Sequence[Record], store: Path) -> Record:
    """Return the run whose key begins with ``key``.

    Raises:
        UserError: No run matches, or several do; names them, or a similar key.
    """
    found = [record for record in records if record.key.startswith(key.lower())] if key else []
    exact = [record for record in found if record.key == key.lower()]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        keys = [record.key for record in found]
        named = ", ".join(keys[:_MOST_NAMED]) + (", ..." if len(keys) > _MOST_NAMED else "")
        raise UserError(
            f"{store}: {key!r} begins the keys of {len(keys)} runs ({named}); give more of the key"
        )
    near = get_close_matches(key.lower(), [record.key for record in records], 1, 0.6)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else f"'palimpsest list runs --store {store}' lists all"
    )
    raise UserError(f"{store}: no run has a key that begins with {key!r}; {hint}")


def as_data(record: Record) -> dict[str, Any]:
    """Return everything known about a run as plain data for JSON."""
    names = (
        "key", "suite", "scenario", "strategy", "strength", "seed", "status", "started", "seconds",
        "peak_memory", "accuracy_matrix", "validation_matrix", "initial_accuracy", "curves",
        "moments", "cost", "probes", "versions",
    )  # fmt: skip
    return {name: getattr(record, name) for name in names} | {
        "spec": record.spec.data,
        "metrics": dict(record.metrics),
        "failure": None if record.failure is None else record.failure.to_json(),
    }


def _sections(record: Record) -> Iterator[tuple[str, str]]:
    yield f"{record.status}: {describe(record)}", _lines({
        "key": record.key,
        "suite": record.suite,
        "started": f"{record.started[:19]} (UTC)" if record.started else "",
        "time": duration(record.seconds),
        "of it": _parts(record),
        "peak memory": _peak(record),
        "lost before": several(lost, "time") if (lost := record.cost.get("lost")) else "",
    })  # fmt: skip
    if record.failure is not None:
        failure = record.failure
        text = failure.traceback or "no traceback was kept\n"
        yield f"Failure ({failure.kind})", f"{failure.message}\n\n{text}"
    if record.status == "done":
        yield "Metrics", _lines({
            metric.name: quantity(metric, record.metrics[metric.name])
            for metric in METRICS.values()
            if applies(metric, record)
        })  # fmt: skip
    if record.accuracy_matrix:
        yield (
            "Accuracy on the test set, %: a row for each model trained, a column for each measured",
            _matrix(record.accuracy_matrix),
        )
    if record.initial_accuracy:
        yield "Accuracy on the test set before training, %", _matrix([record.initial_accuracy])
    if any(value is not None for row in record.validation_matrix for value in row):
        yield "Accuracy on the validation split, %", _matrix(record.validation_matrix)
    if record.curves:
        yield "Curves", "\n".join(_curve(curve) for curve in record.curves)
    if record.moments:
        yield "Moments", _rows(record.moments)
    if classes := record.cost.get("classes"):
        yield "Classes of each experience", _lines({
            str(number): ", ".join(names) for number, names in enumerate(classes, 1)
        })  # fmt: skip
    apart = {"lost", "capacity", "classes", "evaluation_seconds", "building_seconds"}
    cost = {name: _value(value) for name, value in record.cost.items() if name not in apart}
    if cost:
        yield "Cost", _lines(cost)
    if record.free_shares:
        yield "Free for later models of what is shared, %, after each model", _free(record)
    for name, probe in record.probes.items():
        yield f"Probe {name}", _rows(probe["rows"]) if "rows" in probe else probe["absent"]
    spec = record.spec
    yield f"Scenario {spec.scenario.name}", _settings(spec.scenario.settings, spec.scenario.plugin)
    yield (
        f"Strategy {spec.strategy.name}: {spec.strategy.kind}",
        _settings(spec.strategy.settings, spec.strategy.plugin),
    )
    yield "Versions", _lines({
        **record.versions,
        "results": ", ".join(f"{name} {version}" for name, version in spec.versions.items()),
        "device": spec.device,
    })  # fmt: skip


_PARTS = {
    "training_seconds": "training",
    "consolidation_seconds": "after each model's last step",
    "evaluation_seconds": "evaluation",
    "building_seconds": "loading the data and building the models",
}


def _parts(record: Record) -> str:
    """List what the time of a run was spent on, as far as it was measured."""
    parts: dict[str, float] = {}
    for name, words in _PARTS.items():
        value = record.cost.get(name)
        known = [v for v in (value if isinstance(value, list) else [value]) if v is not None]
        if known:
            parts[words] = sum(known)
    if _PARTS["evaluation_seconds"] not in parts:  # of an earlier version
        return ""
    # A processor's seconds over all its cores may be more than the clock's.
    parts["other"] = max(0.0, record.seconds - sum(parts.values()))
    return ", ".join(f"{words} {seconds:.1f} s" for words, seconds in parts.items())


def _peak(record: Record) -> str:
    """Write the peak memory of a run, and what it includes."""
    of = "the whole process" if record.spec.on_cpu else "what was allocated on the device"
    return f"{record.peak_memory / 2**20:.0f} MiB, of {of}" if record.peak_memory else ""


def _lines(facts: dict[str, str]) -> str:
    known = {name: text for name, text in facts.items() if text}
    width = max(map(len, known), default=0)
    return "\n".join(f"  {name.replace('_', ' '):<{width}}  {text}" for name, text in known.items())


def _free(record: Record) -> str:
    """The free share of each tensor, and of all."""
    shares = {name: tensor["free"] for name, tensor in record.cost["capacity"].items()}
    shares["all"] = record.free_shares
    width = max(map(len, shares))
    rows = [f"  {name:<{width}}{_matrix([own])}" for name, own in shares.items()]
    return "\n".join(rows)


def _matrix(rows: Sequence[Sequence[float | None]]) -> str:
    return "\n".join("  " + "".join(f"{percent(value):>8}" for value in row) for row in rows)


def _curve(curve: dict[str, Any]) -> str:
    """Say how often a training was measured, and where its accuracies began and ended."""
    steps, accuracies = curve["steps"], curve["accuracy"]
    measured = several(len(steps), "point")
    text = f"  model {curve['model'] + 1}: {measured}"
    if not steps:
        return text
    ends = ", ".join(
        f"model {model + 1} {percent(line[0])} to {percent(line[-1])}"
        for model, line in enumerate(accuracies)
    )
    return f"{text}, steps {steps[0]} to {steps[-1]}; accuracy, %: {ends}"


def _rows(rows: Sequence[dict[str, Any]]) -> str:
    shown = [
        "  " + ", ".join(f"{name} {_numbered(name, value)}" for name, value in row.items())
        for row in rows[:_MOST_ROWS]
    ]
    if len(rows) > _MOST_ROWS:
        shown.append(f"  ... and {len(rows) - _MOST_ROWS} more (--json has all)")
    return "\n".join(shown)


def _numbered(name: str, value: Any) -> str:
    """Write a value; a model's index, which counts from 0, as its number."""
    return str(value + 1) if name in {"model", "trained"} else _value(value)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.4g}"
    return DASH if value is None else str(value)


def _settings(settings: Any, plugin: str | None) -> str:
    text = str(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=100))
    lines = [f"  {line}" for line in text.splitlines()] if settings else ["  no settings"]
    return "\n".join(lines + ([f"  (from a plugin, digest {plugin})"] if plugin else []))
