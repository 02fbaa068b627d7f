"""Draws the figures of a report, in other processes where there are many."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, Self

from palimpsest.reports.figures.drawing.marks import Mark
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.svg import touchable_svg
from palimpsest.reports.statistics.interval import Estimate

_WORTH = 8
"""Figures per process: with fewer, starting a process costs more than it saves."""

_OBJECTS = 100_000
"""New objects from one collection to the next: a figure has tens of thousands, and lives on."""

_SIGNIFICANT = 5
"""Digits of a number that is drawn as a dot: more cannot be seen."""

Drawing = tuple[str, list[Mark]]
"""An ``<svg>`` element, and the text of its marks."""


class Drawings:
    """Figures that other processes draw while this one goes on.

    Plots hold functions and cannot be sent to a process, but a forked process has them already.
    When this process has nothing else to do, it draws what no other has begun. It also draws what
    failed elsewhere, because a process was killed or the figure has an error, which is then raised.
    """

    def __init__(self) -> None:
        self._plots: list[Plot] = []
        self._waiting: list[Plot] = []
        self._pools: list[ProcessPoolExecutor] = []
        self._begun: list[tuple[Plot, Future[Drawing]]] = []

    def __enter__(self) -> Self:
        """Get ready."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def begin(self, plots: Sequence[Plot]) -> None:
        """Begin to draw plots with unique names, or wait if they are too few for a process."""
        self._plots += plots
        self._waiting += plots
        helpers = min(len(self._waiting) // _WORTH, _processors() - 1)
        if helpers < 1:
            return
        # Those with the most data first, so that no process draws one after all others have ended.
        order = sorted(self._waiting, key=lambda plot: -len(plot.data))
        self._waiting = []
        fork = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(helpers, fork, initializer=_prepare, initargs=(order,))
        self._pools.append(pool)
        self._begun += [(plot, pool.submit(_draw, place)) for place, plot in enumerate(order)]

    def finish(self) -> dict[str, Drawing]:
        """Return all drawings by the names of their plots."""
        drawn = {plot.name: touchable_svg(plot) for plot in self._waiting}
        for plot, task in reversed(self._begun):
            if task.cancel():
                drawn[plot.name] = touchable_svg(plot)
        for plot, task in self._begun:
            if plot.name not in drawn:
                failed = task.exception()
                drawn[plot.name] = touchable_svg(plot) if failed else task.result()
        return {plot.name: drawn[plot.name] for plot in self._plots}


def _processors() -> int:
    if sys.platform != "linux":  # elsewhere system libraries may not survive a fork
        return 1
    return len(os.sched_getaffinity(0))


_in_process: list[Plot] = []
"""The plots that this process may be asked to draw."""


def _prepare(plots: Sequence[Plot]) -> None:
    """Begin a process that draws some of the plots."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    gc.freeze()  # else each collection goes through what all processes share, and so copies it
    gc.set_threshold(_OBJECTS)
    _in_process[:] = plots


def _draw(place: int) -> Drawing:
    return touchable_svg(_in_process[place])


def marks_data(figures: Mapping[str, Sequence[Mark]]) -> dict[str, Any]:
    """Return the marks of figures, by the figures' names.

    Returns:
        ``texts``, every text once; ``figures``, a list per figure, with a list per mark: the
        places in ``texts`` of its strategies and of its lines, and, where it shows a number with
        seeds, that number: mean, the ends of its interval (``None`` without one), then the seeds.
    """
    texts: dict[str, int] = {}

    def places(lines: Sequence[str]) -> list[int]:
        return [texts.setdefault(line, len(texts)) for line in lines]

    found = {
        name: [[places(mark.strategies), places(mark.told), *_strip(mark.number)] for mark in marks]
        for name, marks in figures.items()
        if marks
    }
    return {"texts": list(texts), "figures": found}


def _strip(number: Estimate | None) -> list[list[float | None]]:
    if number is None or len(number.seeds) < 2:
        return []
    shown = (number.value, number.low, number.high, *number.seeds)
    return [[None if end is None else float(f"{end:.{_SIGNIFICANT}g}") for end in shown]]
