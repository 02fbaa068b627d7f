"""``palimpsest compare``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.errors import UserError, nearest
from benchmark.metrics import METRICS
from reports.compare import Change, StoreComparison, Verdict, compare_stores
from reports.formatting import several
from reports.merge import read_stores

REGRESSED = 1
_WIDTH_IN_FILES = 140
_NOISE_SHOWN = 10
_COLORS = {Verdict.REGRESSED: "red", Verdict.IMPROVED: "green", Verdict.ONE_SEED: "yellow"}


@dataclass(frozen=True)
class CompareOptions:
    """The options of ``palimpsest compare``, as the user gave them."""

    store_a: Path
    store_b: Path
    metrics: str | None
    fail_on_regression: bool
    as_json: bool


def compare(options: CompareOptions) -> int:
    """Print what changed from one store to another beyond noise.

    Args:
        options: As the user gave them.

    Returns:
        The exit code: 1 if something regressed and that was asked for, else 0.

    Raises:
        UserError: A store is missing or has no runs, a metric is unknown, or the stores have
            nothing in common.
    """
    metrics = _metrics(options.metrics)
    paths = (options.store_a, options.store_b)
    stores = read_stores(paths)
    for path, records in zip(paths, stores.values(), strict=True):
        if not records:
            raise UserError(f"{path}: this store has no runs yet; 'palimpsest run' makes some")
    before, after = stores.values()
    found = compare_stores(before, after, metrics)
    if not found.cells:
        raise UserError(
            f"{paths[0]} and {paths[1]} have no scenario, strategy and strength with the same "
            "settings in common, so there is nothing to compare; 'palimpsest list runs' says "
            "what each has"
        )
    names = list(stores)
    if options.as_json:
        print(json.dumps(_as_data(found, names), indent=1))
    else:
        _print(found, names)
    return REGRESSED if options.fail_on_regression and found.regressed else 0


def _metrics(text: str | None) -> Sequence[str]:
    if text is None:
        return METRICS
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
        "numbers": [_flat(change) for change in found.changes],
        "runs": [asdict(run) for run in found.runs],
        "one_sided": [asdict(gap) for gap in found.one_sided],
    }


def _flat(change: Change) -> dict[str, Any]:
    data = asdict(change)
    data |= data.pop("difference")
    return data


def _print(found: StoreComparison, names: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_IN_FILES

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    table, left_out = _table(found, names)
    if table.row_count:
        say("Per cent, means over seeds; B - A in points, ± half of its 95 % interval")
        console.print(table)
    if left_out:
        say(f"... and {left_out} more within noise (--json prints all)")
    for verdict, text in _failures(found, names):
        say(text, _COLORS[verdict])
    for text in _gaps(found, names):
        say(text)
    if found.counts[Verdict.ONE_SEED]:
        say("One seed cannot tell a change from noise: run more seeds in both stores.")
    say(_summary(found))


def _table(found: StoreComparison, names: Sequence[str]) -> tuple[Table, int]:
    """Show what changed, the most urgent first; and how much within noise was left out."""
    order = list(Verdict)
    changed = [change for change in found.changes if change.verdict is not Verdict.EQUAL]
    changed.sort(key=lambda change: order.index(change.verdict))
    most = len(changed) - found.counts[Verdict.NOISE] + _NOISE_SHOWN
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("scenario", "strategy", "metric"):
        table.add_column(title, overflow="fold")
    for title in (f"A: {names[0]}", f"B: {names[1]}", "B - A", "seeds", "p (Holm)"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("verdict")
    for change in changed[:most]:
        table.add_row(*map(Text, _row(change)), style=_COLORS.get(change.verdict))
    return table, max(0, len(changed) - most)


def _row(change: Change) -> Sequence[str]:
    found = change.difference
    half = "" if found.half is None else f" ± {100 * found.half:.2f}"
    return (
        change.scenario,
        change.variant,
        change.metric.replace("_", " "),
        f"{100 * found.a:.2f}",
        f"{100 * found.b:.2f}",
        f"{100 * (found.b - found.a):+.2f}{half}",
        f"{found.seeds_a} paired" if found.paired else f"{found.seeds_a} and {found.seeds_b}",
        "" if found.p is None else f"{found.p:.2g}",
        change.verdict,
    )


def _failures(found: StoreComparison, names: Sequence[str]) -> Iterator[tuple[Verdict, str]]:
    """Say which runs fail in one store only, a line for the seeds of a cell."""
    lines: dict[tuple[Verdict, str, str], list[str]] = {}
    for run in found.runs:
        cell = f"{run.scenario}: {run.variant}"
        lines.setdefault((run.verdict, cell, run.error), []).append(str(run.seed))
    for (verdict, cell, error), seeds in lines.items():
        where = names[verdict is Verdict.REGRESSED]
        yield verdict, f"{verdict}: {cell}: fails only in {where}, seed {', '.join(seeds)}: {error}"


def _gaps(found: StoreComparison, names: Sequence[str]) -> Iterator[str]:
    """Say what only one store has: which cells, and how many runs and numbers of the others."""
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
    """Count in one line: ``12 cells compared, 120 numbers: 110 equal, 8 within noise, ...``."""
    counts = [f"{n} {verdict}" for verdict in reversed(Verdict) if (n := found.counts[verdict])]
    text = f"{several(found.cells, 'cell')} compared, {several(len(found.changes), 'number')}"
    parts = [f"{text}: {', '.join(counts)}" if counts else text]
    runs = Counter(run.verdict for run in found.runs)
    parts += [f"{several(n, 'run')} {verdict}" for verdict, n in runs.items()]
    return "; ".join(parts)
