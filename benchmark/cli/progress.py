"""What is seen while a suite runs: bars on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from benchmark.store import Record
from benchmark.suite import Run


class Display(Protocol):
    """Shows how far a suite is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def under_way(self, run: Run, fraction: float) -> None:
        """Tell how much of a run is done."""

    def finished(self, record: Record) -> None:
        """Tell that a run has ended."""


def make_display(total: int, done: int, *, quiet: bool) -> Display:
    """Return the display that fits the output: progress goes to standard error.

    Args:
        total: Runs of the suite.
        done: How many the store had already.
        quiet: Show nothing.
    """
    if quiet:
        return _Nothing()
    if sys.stderr.isatty():
        return _Bars(total, done)
    return _Lines(total, done)


class _Nothing:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def under_way(self, run: Run, fraction: float) -> None: ...

    def finished(self, record: Record) -> None: ...


class _Lines(_Nothing):
    """A line a finished run."""

    def __init__(self, total: int, done: int) -> None:
        self._total = total
        self._done = done

    def finished(self, record: Record) -> None:
        self._done += 1
        print(f"[{self._done}/{self._total}] {outcome(record)}", file=sys.stderr, flush=True)


class _Bars(_Nothing):
    """A bar for the suite, with the time left, and one for each run under way."""

    def __init__(self, total: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._suite = self._progress.add_task("suite", total=total, completed=done)
        self._runs: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def under_way(self, run: Run, fraction: float) -> None:
        if run.key not in self._runs:
            self._runs[run.key] = self._progress.add_task(f"  {describe(run)}", total=100)
        self._progress.update(self._runs[run.key], completed=round(100 * fraction))

    def finished(self, record: Record) -> None:
        if record.key in self._runs:
            self._progress.remove_task(self._runs.pop(record.key))
        if record.status == "failed":
            self._progress.console.print(outcome(record), markup=False)
        self._progress.advance(self._suite)


def describe(run: Run | Record) -> str:
    """Return a run in words: scenario, strategy, strength, seed."""
    strength = "" if run.strength is None else f" {run.strength:g}"
    return f"{run.scenario} {run.strategy}{strength} seed {run.seed}"


def outcome(record: Record) -> str:
    """Return a finished run in a line: what it was, what came out, how long it took."""
    if record.status == "failed":
        return f"failed {describe(record)}: {record.error}"
    shown = []
    for name in ("average_accuracy", "forgetting"):
        value = record.metrics.get(name)
        if value is not None:
            shown.append(f"{name.replace('_', ' ')} {100 * value:.1f} %")
    return f"done {describe(record)}: {', '.join(shown)} ({record.seconds:.1f} s)"
