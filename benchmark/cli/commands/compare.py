"""``palimpsest compare``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text

from palimpsest.benchmark.cli.models import CompareCommand, names_of
from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.listings import negligible
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import METRICS, Metric
from palimpsest.benchmark.results.run_settings import by_setting, meant
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.changes import Change, Outcome, StoreComparison, compare_stores
from palimpsest.reports.runs.merge import read_notes, read_stores
from palimpsest.reports.statistics.interval import FEWEST_SEEDS
from palimpsest.reports.wording.numbers import spread
from palimpsest.reports.wording.words import several

FAILED = 1
_SHOWN = {Outcome.UNDETERMINED: 30, Outcome.SAME: 10, Outcome.EQUAL: 0}
"""How many numbers of a verdict are printed; of the others all."""
_COLORS = {Outcome.REGRESSED: "red", Outcome.IMPROVED: "green", Outcome.UNDETERMINED: "yellow"}


def compare(options: CompareCommand) -> int:
    """Print what changed from one store to another beyond noise.

    Returns:
        The exit code. With ``--fail-on regression`` 1 if a number got worse beyond noise, or a
        run fails that did not; with ``--fail-on undetermined`` also if a number differs that so
        few seeds cannot judge. Else 0.

    Raises:
        UserError: A store is missing or has no runs, a metric, setting or chosen name is unknown,
            the stores have nothing in common, or ``--fail-on`` has nothing to judge.
    """
    metrics = _metrics(options.metrics)
    sides = _sides(options)
    (first, before), (second, after) = sides.items()
    ignore = meant(names_of(options.ignore) or [], [*before, *after], "--ignore")
    found = compare_stores(before, after, metrics, ignore)
    if not found.cells:
        raise UserError(
            f"{first} and {second} have no scenario, strategy and strength with the same "
            "settings in common, so there is nothing to compare; 'palimpsest list runs' says "
            "what each has"
        )
    names = list(sides)
    if options.as_json:
        say(json.dumps(_as_data(found, names), indent=1))
    else:
        _print(found, names)
    if options.fail_on and not found.changes and not found.runs:
        raise UserError(
            f"--fail-on {options.fail_on}: nothing was compared, since no number is known of both "
            "stores; choose other --metrics, or leave --fail-on out"
        )
    failed = options.fail_on is not None and found.regressed
    failed |= options.fail_on == "undetermined" and found.undetermined
    return FAILED if failed else 0


def _sides(options: CompareCommand) -> dict[str, list[Record]]:
    """Return the runs of A and B by name: two stores, or two values of a setting in one."""
    paths = [path for path in (options.store_a, options.store_b) if path is not None]
    stores, notes = read_stores(paths), read_notes(paths)
    for path, records in zip(paths, stores.values(), strict=True):
        if not records:
            raise UserError(f"{path}: this store has no runs yet; 'palimpsest run' adds some")
    every = [record for records in stores.values() for record in records]
    options.selection.check(every, [note for known in notes.values() for note in known])
    chosen = {name: options.selection.chosen(own, notes[name]) for name, own in stores.items()}
    for path, records in zip(paths, chosen.values(), strict=True):
        if not records:
            raise UserError(f"{path}: this store has no run of those that were chosen")
    if len(paths) == 2:
        return chosen
    ignored = names_of(options.ignore) or []
    if len(ignored) != 1:
        raise UserError(
            "compare: expected two stores, or one store and --ignore with the name of one setting, "
            "whose two values are compared"
        )
    (setting,) = ignored
    (records,) = chosen.values()
    values = by_setting(records, setting, "--ignore")
    if len(values) != 2:
        raise UserError(
            f"--ignore {setting}: {paths[0]} has {several(len(values), 'value')} of it "
            f"({'; '.join(values)}), expected two; 'palimpsest report {paths[0]} --by {setting}' "
            "shows any number"
        )
    older = sorted(values, key=lambda name: min(record.started for record in values[name]))
    return {name: values[name] for name in older}


def _metrics(text: str | None) -> Sequence[str]:
    if text is None:
        return [*METRICS]
    chosen = text.split(",")
    for name in chosen:
        if name not in METRICS:
            raise UserError(f"--metrics: unknown metric {name!r}; {nearest(name, METRICS)}")
    return [name for name in METRICS if name in chosen]


def _as_data(found: StoreComparison, names: Sequence[str]) -> dict[str, Any]:
    return {
        "stores": dict(zip("ab", names, strict=True)),
        "cells": found.cells,
        "counts": found.counts,
        "regressed": found.regressed,
        "undetermined": found.undetermined,
        "numbers": [_flat(change) for change in found.changes],
        "runs": [asdict(run) for run in found.runs],
        "one_sided": [asdict(gap) for gap in found.one_sided],
    }


def _flat(change: Change) -> dict[str, Any]:
    data = asdict(change)
    data |= data.pop("comparison")
    moved = data.pop("difference")
    return data | {"change": moved["value"], "low": moved["low"], "high": moved["high"]}


def _print(found: StoreComparison, names: Sequence[str]) -> None:
    console = table_console()

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    table, left_out = _table(found, names)
    if table.row_count:
        say(
            f"Means over seeds, per cent{_other_units(found)}; B - A in points, in brackets its "
            f"95 % interval, in parentheses single seeds, where fewer than {FEWEST_SEEDS} have it; "
            "p is of the t-test that this interval inverts, corrected (Holm) for all numbers "
            "compared; the verdict follows p"
        )
        console.print(table)
    for verdict, more in left_out.items():
        say(f"... and {more} more {verdict} (--json prints all)")
    for verdict, text in _failures(found, names):
        say(text, _COLORS[verdict])
    for text in _gaps(found, names):
        say(text)
    if found.undetermined:
        say(_what_is_undetermined(found), _COLORS[Outcome.UNDETERMINED])
    say(_summary(found))


def _table(found: StoreComparison, names: Sequence[str]) -> tuple[Table, dict[Outcome, int]]:
    """Show what changed, the most urgent first; and how much was left out, by verdict."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("scenario", "strategy", "metric"):
        table.add_column(title, overflow="fold")
    for title in (f"A: {names[0]}", f"B: {names[1]}", "B - A", "seeds", "p (Holm)"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("verdict")
    left_out = {}
    for verdict in Outcome:
        changes = [change for change in found.changes if change.verdict is verdict]
        most = _SHOWN.get(verdict, len(changes))
        if verdict is Outcome.UNDETERMINED and len(changes) > most:
            changes.sort(key=lambda change: -abs(change.comparison.difference.value or 0.0))
        for change in changes[:most]:
            table.add_row(*map(Text, _row(change)), style=_COLORS.get(verdict))
        if 0 < most < len(changes):
            left_out[verdict] = len(changes) - most
    return table, left_out


def _row(change: Change) -> Sequence[str]:
    found, metric = change.comparison, METRICS[change.metric]
    difference = partial(_written, metric, signed=True)
    few = change.verdict is Outcome.UNDETERMINED and found.difference.low is None
    needed = f", {FEWEST_SEEDS} seeds can tell" if few else ""
    return (
        change.scenario,
        change.variant,
        metric.title,
        _written(metric, found.a),
        _written(metric, found.b),
        f"{difference(found.b - found.a)} {spread(found.difference, difference, '')}".rstrip(),
        f"{found.seeds_a} paired" if found.paired else f"{found.seeds_a} and {found.seeds_b}",
        "" if found.p is None else "<0.001" if found.p < 0.001 else f"{found.p:.2g}",
        f"{change.verdict}{needed}",
    )


def _written(metric: Metric, value: float, *, signed: bool = False) -> str:
    plus = "+" if signed else ""
    return (
        f"{round(100 * value, 2) + 0.0:{plus}.2f}"
        if metric.is_percentage
        else f"{value + 0.0:{plus}.4g}"
    )


def _other_units(found: StoreComparison) -> str:
    """Name the units of metrics that are no percentages."""
    metrics = [METRICS[name] for name in dict.fromkeys(each.metric for each in found.changes)]
    others = [f"{m.title} in {m.unit or 'numbers'}" for m in metrics if not m.is_percentage]
    return f" ({', '.join(others)})" if others else ""


def _what_is_undetermined(found: StoreComparison) -> str:
    """Say how many numbers cannot be judged, what would help, and how a check treats them."""
    changes = [change for change in found.changes if change.verdict is Outcome.UNDETERMINED]
    few = [change for change in changes if change.comparison.difference.low is None]
    wide = [change for change in changes if change.comparison.difference.low is not None]
    parts = [f"{several(len(changes), 'number')} undetermined:"]
    if few:
        which = f"of {len(few)}, " if wide else ""
        why = "so few seeds cannot tell a change from noise."
        parts.append(f"{which}{why} {FEWEST_SEEDS} seeds in both stores can.")
    if wide:
        which = f"Of {len(wide)}, no" if few else "no"
        parts.append(
            f"{which} change was found, but the interval reaches further than a difference that is "
            f"negligible ({_margins(wide)}), so that they are not known to be the same; more seeds "
            "can tell."
        )
    parts.append("--fail-on regression lets them pass, --fail-on undetermined does not.")
    return " ".join(parts)


def _margins(wide: Sequence[Change]) -> str:
    """Write what is negligible: ``1 point``, or ``stability: 1 point; steps: not known``."""
    known: dict[str, list[str]] = {}
    for metric in dict.fromkeys(change.metric for change in wide):
        known.setdefault(negligible(METRICS[metric]), []).append(METRICS[metric].title)
    if len(known) == 1:
        return next(iter(known))
    return "; ".join(f"{', '.join(titles)}: {text}" for text, titles in known.items())


def _failures(found: StoreComparison, names: Sequence[str]) -> Iterator[tuple[Outcome, str]]:
    """Say which runs fail in one store only, a line for the seeds of a cell."""
    lines: dict[tuple[Outcome, str, str], list[str]] = {}
    for run in found.runs:
        cell = f"{run.scenario}: {run.variant}"
        lines.setdefault((run.verdict, cell, run.error), []).append(str(run.seed))
    for (verdict, cell, error), seeds in lines.items():
        where = names[verdict is Outcome.REGRESSED]
        yield verdict, f"{verdict}: {cell}: fails only in {where}, seed {', '.join(seeds)}: {error}"


def _gaps(found: StoreComparison, names: Sequence[str]) -> Iterator[str]:
    """Say which cells, and how many runs and numbers of the others, only one store has."""
    for side, name in zip("ab", names, strict=True):
        cells: dict[str, list[str]] = {}
        for gap in found.one_sided:
            if gap.side == side and gap.what == "cell":
                cells.setdefault(gap.scenario, []).append(gap.variant)
        for scenario, variants in cells.items():
            yield f"only in {name}: {scenario}: {'; '.join(variants)}"
        others = [gap for gap in found.one_sided if gap.side == side and gap.what != "cell"]
        if runs := sum(len(gap.seeds) for gap in others if gap.what == "seeds"):
            yield f"only in {name}: {several(runs, 'run')} of cells that both have"
        for metric, n in Counter(gap.what for gap in others if gap.what != "seeds").items():
            yield f"only in {name}: {metric.replace('_', ' ')} of {several(n, 'cell')}"


def _summary(found: StoreComparison) -> str:
    """Count in one line: ``12 cells compared, 120 numbers: 110 equal, 8 same, ...``."""
    counts = [f"{n} {verdict}" for verdict in reversed(Outcome) if (n := found.counts[verdict])]
    text = f"{several(found.cells, 'cell')} compared, {several(len(found.changes), 'number')}"
    parts = [f"{text}: {', '.join(counts)}" if counts else text]
    runs = Counter(run.verdict for run in found.runs)
    parts += [f"{several(n, 'run')} {verdict}" for verdict, n in runs.items()]
    return "; ".join(parts)
