"""Progress of a suite: bars on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)

from palimpsest.benchmark.cli.printing import output
from palimpsest.benchmark.cli.printing.console import progress_console
from palimpsest.benchmark.cli.printing.output import in_a_line
from palimpsest.benchmark.orchestration.loop import Progress as News
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.spec import STRENGTH
from palimpsest.benchmark.suites.suite import Run
from palimpsest.reports.wording.words import whole_seconds


class Display:
    """Shows the progress of a suite; this one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the display."""

    def tell(self, news: News) -> None:
        """Show what has happened."""


def make_display(total: int, done: int, *, quiet: bool, with_suite: bool = False) -> Display:
    """Return the display that fits standard error; of ``total`` runs ``done`` are in the store."""
    if quiet:
        return Display()
    if sys.stderr.isatty():
        return _Bars(total, done, with_suite)
    return _LinePerRun(with_suite)


class _LinePerRun(Display):
    """A line per finished run."""

    def __init__(self, with_suite: bool) -> None:
        self._with_suite = with_suite

    def tell(self, news: News) -> None:
        if news.message:
            output.tell(news.message)
        if news.record is not None:
            line = outcome(news.record, with_suite=self._with_suite)
            output.tell(f"[{news.done}/{news.total}] {line}")


class _Bars(Display):
    """A bar for all runs, with the time left, and one for each running job."""

    def __init__(self, total: int, done: int, with_suite: bool) -> None:
        self._with_suite = with_suite
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=progress_console(),
        )
        self._suite = self._progress.add_task("suite", total=total, completed=done, left="")
        self._jobs: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal may have gone
            self._progress.stop()

    def tell(self, news: News) -> None:
        if news.message:
            self._progress.console.print(
                output.printable(news.message), markup=False, highlight=False
            )
        if news.seconds_left is not None:
            self._progress.update(self._suite, left=f"{whole_seconds(news.seconds_left)} left")
        if news.record is None:
            self._under_way(news.job, news.fraction)
        else:
            self._finished(news.record, news.done)

    def _under_way(self, job: Job, fraction: float) -> None:
        name = job[0].key
        if name not in self._jobs:
            more = f" and {len(job) - 1} more" if len(job) > 1 else ""
            text = f"  {describe(job[0], with_suite=self._with_suite)}{more}"
            self._jobs[name] = self._progress.add_task(text, total=100, left="")
        self._progress.update(self._jobs[name], completed=round(100 * fraction))

    def _finished(self, record: Record, done: int) -> None:
        if record.key in self._jobs:
            self._progress.remove_task(self._jobs.pop(record.key))
        if record.status == "failed":
            line = outcome(record, with_suite=self._with_suite)
            self._progress.console.print(line, markup=False)
        self._progress.update(self._suite, completed=done)


def describe(run: Run | Record, *, with_suite: bool = False) -> str:
    """Describe a run in a line: scenario, strategy, strength (``rank 4`` of another dial), seed."""
    from palimpsest.reports.wording.numbers import strength_text

    suite = f"{run.suite}: " if with_suite else ""
    dial = run.spec.strategy.dial
    name = "" if dial == STRENGTH else f" {dial}"
    value = "" if run.strength is None else f"{name} {strength_text(run.strength)}"
    return in_a_line(f"{suite}{run.scenario} {run.strategy}{value} seed {run.seed}")


def outcome(record: Record, *, with_suite: bool = False) -> str:
    """Describe a finished run in a line: its result and how long it took."""
    from palimpsest.reports.wording.numbers import percent

    what = describe(record, with_suite=with_suite)
    if record.status == "failed":
        return f"failed {what}: {record.error}"
    shown = []
    for name in ("average_accuracy", "forgetting"):
        value = record.metrics.get(name)
        if value is not None:
            shown.append(f"{name.replace('_', ' ')} {percent(value)} %")
    found = f": {', '.join(shown)}" if shown else ""
    return f"done {what}{found} ({record.seconds:.1f} s)"
