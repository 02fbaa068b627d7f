"""``palimpsest watch``: the report on this machine, while the suite runs."""

from __future__ import annotations

import contextlib
import secrets
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palimpsest.benchmark.cli.models import WatchCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.cli.report_maker import ReportMaker
from palimpsest.benchmark.cli.watch_server import WatchServer
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.archive import is_archive
from palimpsest.benchmark.store.liveness import Liveness
from palimpsest.benchmark.store.store import Record, Store, SuiteProcess

_FAILURES = 20
"""The most that the page shows; the report below has all."""


class Watched:
    """A store as its page shows it. It is opened for reading, each time anew, and never changed.

    Raises:
        UserError: There is no store, or it cannot be read.
    """

    def __init__(self, store: Path, maker: ReportMaker) -> None:
        self._store = store
        self._maker = maker
        self._pulses = Liveness()
        self._failed: tuple[object, Sequence[Record]] = (None, ())
        self._read()

    def page(self) -> str:
        """Return the last report, or the page that waits for the first."""
        from palimpsest.reports.html.watching import waiting_page

        made = self._maker.made
        return made.document if made else waiting_page(str(self._store))

    def news(self) -> dict[str, Any]:
        """Return the news for the page, as JSON; begin a new report if one is due."""
        from palimpsest.reports.html.watching import state

        made = self._maker.made
        report = {"version": made.version if made else 0, "runs": made.runs if made else 0}
        try:
            runs, mark, processes = self._read()
        except UserError as error:
            return {"problem": str(error), "report": report}
        known = made.strategies if made else frozenset()
        now = time.time()
        # At first sight the clocks have to agree; one that goes wrong is seen to live by its beats.
        living = [p.id for p in processes if self._pulses.lives(p.id, p, abs(now - p.heartbeat))]
        told = state(processes, self._failed[1], now=now, living=living, known=known)
        running = any(process["state"] == "running" for process in told["processes"])
        self._maker.make_if_due(runs, mark, at_once=not running)
        return {"problem": self._maker.problem, "report": report, "runs": runs, **told}

    def _read(self) -> tuple[int, object, Sequence[SuiteProcess]]:
        with Store(self._store) as store:
            runs, mark = store.latest()
            if mark != self._failed[0]:
                self._failed = mark, store.failed(_FAILURES)
            return runs, mark, store.active_processes()


def watch(options: WatchCommand) -> None:
    """Serve the page of a store on this machine until the user interrupts, and print its address.

    Raises:
        UserError: There is no store, or the port is in use.
    """
    if is_archive(options.store):
        raise UserError(
            f"{options.store}: this is an archive, to which no suite writes; "
            f"'palimpsest report {options.store}' shows its runs"
        )
    with (
        contextlib.suppress(KeyboardInterrupt),
        ReportMaker(options.store, options.plugin or (), options.selection) as maker,
    ):
        watched = Watched(options.store, maker)
        token = secrets.token_urlsafe(24)
        with WatchServer(options.port, token, watched.page, watched.news) as server:
            say(f"Watching {options.store} at {server.url}  (Ctrl-C ends it)")
            watched.news()  # the first report is made before anybody asks
            if options.open_browser:
                webbrowser.open(server.url)
            server.serve_forever()
