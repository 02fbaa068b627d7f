"""``palimpsest run``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from benchmark.archive import is_archive
from benchmark.cli.console import table_console
from benchmark.cli.listings import runs_json
from benchmark.cli.progress import Display, describe, make_display
from benchmark.data.catalog import data_root, require
from benchmark.errors import UserError
from benchmark.estimate import estimate
from benchmark.store import Record, Store
from benchmark.suite import AVALANCHE, AvalancheSettings, Run, Suite
from benchmark.suite_file import suites_of
from benchmark.suite_loading import load_suites

if TYPE_CHECKING:
    from reports.bootstrap import Estimate

INTERRUPTED = 130


@dataclass(frozen=True)
class RunOptions:
    """The options of ``palimpsest run``, as the user gave them."""

    suites: Sequence[str]
    store: Path
    seeds: str | None
    strategies: list[str] | None
    settings: list[str]
    workers: int | None
    data_root: Path | None
    device: str
    dry_run: bool
    quiet: bool
    as_json: bool


def run_suites(options: RunOptions) -> int:
    """Carry out what the store does not have yet, and print the result.

    All suites are checked before the first run starts.

    Args:
        options: As the user gave them.

    Returns:
        The exit code: 130 if interrupted, 1 if a run of the suites failed, else 0.

    Raises:
        UserError: Anything the user has to mend; nothing was written then.
    """
    suites = load_suites(
        suites_of(options.suites),
        seeds=options.seeds,
        strategies=options.strategies,
        settings=options.settings,
    )
    root = data_root(options.data_root).resolve()
    check_device(options.device)
    for suite in suites:
        _check_avalanche(suite)
    finished = _finished(options.store)
    if not options.dry_run:
        for name in sorted({name for suite in suites for name in suite.data_sets()}):
            require(name, root)
    for suite in suites:
        suite.check_data(root)
    asked = [run for suite in suites for run in suite.runs(options.device, root)]
    runs = list({run.key: run for run in reversed(asked)}.values())[::-1]
    todo = [run for run in runs if finished.get(run.key) != "done"]
    workers = options.workers or min(os.cpu_count() or 1, max(1, len(todo)))
    if options.dry_run:
        _print_plan(runs, todo, workers, options)
        return 0
    with Store(options.store, create=bool(todo)) as store:
        if todo:
            display = make_display(len(runs), len(runs) - len(todo), quiet=_silent(options))
            try:
                with display:
                    for record in _execute(todo, root, workers, display):
                        store.put(record)
                        display.finished(record)
            except KeyboardInterrupt:
                done = len(store.statuses().keys() & {run.key for run in runs})
                print(
                    f"palimpsest: interrupted; {done} of {len(runs)} runs are in {options.store}, "
                    "the same command goes on from there",
                    file=sys.stderr,
                )
                return INTERRUPTED
        records = store.records([run.key for run in runs])
    return _conclude(records, len(todo), options, {run.key: run.suite for run in runs})


def _silent(options: RunOptions) -> bool:
    return options.quiet or options.as_json


def _execute(todo: Sequence[Run], root: Path, workers: int, display: Display) -> Iterator[Record]:
    report: Callable[[Run, float], None] = display.under_way
    if workers == 1:
        from benchmark.executors.in_process import run_in_process

        return run_in_process(todo, root, report)
    from benchmark.executors.workers import run_in_workers

    return run_in_workers(_ordered(todo, workers), root, workers, report)


def _ordered(todo: Sequence[Run], workers: int) -> list[Run]:
    """Start a scenario and seed with one run, well before its others.

    They take over its first model (see ``benchmark/first_model.py``), which several workers
    would otherwise train at the same time.
    """
    groups: dict[tuple[str, str, int], list[Run]] = {}
    for run in todo:
        groups.setdefault((run.suite, run.scenario, run.seed), []).append(run)
    firsts = [group[0] for group in groups.values()]
    ordered, ahead = firsts[:workers], iter(firsts[workers:])
    for group in groups.values():
        ordered += group[1:]
        ordered += islice(ahead, 1)
    return ordered


def _finished(path: Path) -> dict[str, str]:
    """The status of the runs that the store has, which need not be there yet."""
    if not path.parent.is_dir():
        raise UserError(f"--store {path}: the folder {path.parent} is not there; make it first")
    if is_archive(path):
        raise UserError(
            f"--store {path}: an archive is for reading, and runs are kept in a database; "
            "name one, such as runs.db"
        )
    if not path.exists():
        return {}
    with Store(path) as store:
        return store.statuses()


def check_device(device: str) -> None:
    """Refuse a device that torch does not find.

    Raises:
        UserError: Says what was expected.
    """
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise UserError(f"--device {device}: expected cpu, cuda or cuda:NUMBER")
    if kind == "cpu":
        return
    import torch

    if int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {device}: torch finds no such device here; use --device cpu")


def _check_avalanche(suite: Suite) -> None:
    """Importing Avalanche takes seconds, so only where the suite names a class of it."""
    for strategy in suite.strategies.values():
        if strategy.kind.startswith(AVALANCHE):
            logging.captureWarnings(capture=True)  # of Avalanche's imports
            from benchmark.avalanche_strategies import WrongArgumentError, check_arguments

            assert isinstance(strategy.settings, AvalancheSettings)
            path = ("strategies", strategy.name)
            try:
                check_arguments(strategy.kind, strategy.settings.arguments)
            except WrongArgumentError as error:
                place = (*path, "arguments", error.argument)
                raise suite.source.error(place, str(error)) from None
            except UserError as error:
                raise suite.source.error((*path, "strategy"), str(error)) from None


def _print_plan(runs: list[Run], todo: list[Run], workers: int, options: RunOptions) -> None:
    if options.as_json:
        import json

        fields = ("key", "scenario", "strategy", "strength", "seed", "spec")
        print(json.dumps([{f: getattr(r, f) for f in fields} for r in todo], indent=1))
        return
    for run in todo:
        print(f"{run.key}  {describe(run)}")
    known: list[Record] = []
    if options.store.exists():
        with Store(options.store) as store:
            known = store.records()
    print(
        f"{len(todo)} of {len(runs)} runs to do, {estimate(todo, known, workers)} with "
        f"{workers} worker(s)"
    )


def _conclude(
    records: list[Record], new: int, options: RunOptions, suites: Mapping[str, str]
) -> int:
    failed = [record for record in records if record.status == "failed"]
    if options.as_json:
        print(runs_json(records))
    elif not options.quiet:
        by_suite: dict[str, list[Record]] = {}
        for record in records:
            by_suite.setdefault(suites[record.key], []).append(record)
        for suite, own in sorted(by_suite.items()):
            _print_table(own, f"{suite}, " if len(by_suite) > 1 else "")
        if not new:
            print(f"Nothing to do: all {len(records)} runs were in {options.store} already.")
        print(f"Results: {options.store}   Report: palimpsest report {options.store}")
    for record in failed:
        print(f"palimpsest: failed: {describe(record)}: {record.error}", file=sys.stderr)
    return 1 if failed else 0


def _print_table(records: list[Record], of_suite: str) -> None:
    from reports.ratio import REDUCTION
    from reports.terminal import SUMMARY_METRICS, summary_rows

    console = table_console()
    rows = summary_rows(records)
    for scenario in dict.fromkeys(row.scenario for row in rows):
        console.print(
            f"\n{of_suite}{scenario}: per cent, means over seeds; below [95 % interval], or "
            "(single seeds)"
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("strategy", no_wrap=True)
        for title in (*SUMMARY_METRICS, "seeds"):
            table.add_column(title.replace("_", "\n"), justify="right", no_wrap=True)
        for row in rows:
            if row.scenario == scenario:
                cells = [_cell(row.metrics[name], row.seeds) for name in SUMMARY_METRICS]
                if row.reason:
                    cells[SUMMARY_METRICS.index(REDUCTION)] = "*"
                failed = f" ({row.failed} failed)" if row.failed else ""
                table.add_row(row.variant, *cells, f"{row.seeds}{failed}")
        console.print(table, markup=False, highlight=False)
        for reason in {row.reason: "" for row in rows if row.scenario == scenario and row.reason}:
            console.print(f"* forgetting reduction: {reason}", markup=False, highlight=False)
    console.print()


def _cell(found: Estimate, seeds: int) -> str:
    """A mean, below it how well the seeds pin it down, and how many they are if not all."""
    from reports.formatting import apart, spread

    if found.value is None:
        return "-"
    lines = [_percent(found.value), spread(found, _percent, "")]
    lines += [f"{found.n} of {seeds} seeds"] if found.n < seeds else []
    lines += [apart(found, _percent).replace(", ", "\n")]
    return "\n".join(line for line in lines if line)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
