"""Makes a store's report again and again, in a process of its own, while a suite runs."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.results.selection import Selection

if TYPE_CHECKING:
    from palimpsest.reports.figures.drawing.colors import Identity

_PAUSE = 5.0
"""At least so many seconds from one report to the next."""

_SHARE = 3
"""And so many times what the last one took: the suite needs the processors itself."""

_NICE = 5
"""How far a report gives way to the suite: with more, it would take minutes beside busy workers."""


@dataclass(frozen=True)
class Made:
    """A report: its number from 1, its number of runs, its HTML, and what colours strategies."""

    version: int
    runs: int
    document: str
    strategies: frozenset[Identity]


class ReportMaker:
    """Makes the report of a store when its runs have changed and the last one is old enough.

    Attributes:
        made: The last report; ``None`` before the first.
        problem: Why the last one could not be made; empty if it could.
    """

    def __init__(
        self, store: Path, plugins: Sequence[Path] = (), selection: Selection | None = None
    ) -> None:
        self._store = store
        self._selection = selection or Selection()
        self._plugins = list(plugins)
        self.made: Made | None = None
        self.problem = ""
        self._tried: object = None
        self._due = 0.0
        self._busy = False
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.terminate()

    def make_if_due(self, runs: int, mark: object, *, at_once: bool) -> None:
        """Begin to make a report if one is due; do not wait for it.

        Args:
            runs: The number of runs in the store.
            mark: What ``Store.latest`` returned for them.
            at_once: No suite is running, so the report need not leave it time.
        """
        with self._lock:
            due = at_once or time.monotonic() >= self._due
            if not runs or mark == self._tried or self._busy or self._closed or not due:
                return
            self._tried, self._busy = mark, True
        threading.Thread(target=self._make, daemon=True).start()

    def _make(self) -> None:
        start = time.monotonic()
        version = self.made.version + 1 if self.made else 1
        answer = self._in_a_process(version)
        with self._lock:
            if isinstance(answer, str):
                self.problem = answer
            else:
                document, strategies, runs = answer
                self.problem = ""
                self.made = Made(version, runs, document, strategies)
            now = time.monotonic()
            self._due = now + max(_PAUSE, _SHARE * (now - start))
            self._busy = False

    def _in_a_process(self, version: int) -> tuple[str, frozenset[Identity], int] | str:
        """Return a report, its strategies and its number of runs, or why there is none."""
        # An interrupt on a terminal is for all its processes: this one is ended by its parent.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe(duplex=False)
        process = context.Process(
            target=_send_report, args=(its, self._store, self._plugins, self._selection, version)
        )
        with self._lock:
            if self._closed:
                return ""
            process.start()
            self._process = process
        its.close()
        try:
            answer: tuple[str, frozenset[Identity], int] | str = mine.recv()
        except EOFError:
            return f"the report could not be made; 'palimpsest report {self._store}' says why"
        finally:
            process.join()
            mine.close()
        return answer


def _send_report(
    answer: Connection, store: Path, plugins: list[Path], selection: Selection, version: int
) -> None:
    """Make a report and send it, in a process of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # its own processes end with it
    os.nice(_NICE)
    from palimpsest.benchmark.cli.models import load_for_reading
    from palimpsest.reports.html.report import report_page
    from palimpsest.reports.html.watching import Live, identities
    from palimpsest.reports.runs.merge import merge, read_notes, read_stores

    try:
        load_for_reading(plugins)
        merged = merge(read_stores([store]), read_notes([store]))
        command = ["palimpsest", "report", str(store), *selection.options, "-o", "report.html"]
        page, _ = report_page(
            selection.only(merged.records, merged.suites),
            sources=[merged.origin],
            command=shlex.join(command),
            suites=selection.narrowed(merged.suites),
            live=Live(version, len(merged.records), str(store)),
        )
    except UserError as error:
        answer.send(str(error))
    else:
        answer.send((page, identities(merged.records), len(merged.records)))
