"""Draws the figures of a report, in other processes where there are many."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import IO, Any, Self

from palimpsest.reports.figures.drawing.marks import Mark
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.svg import touchable_svg
from palimpsest.reports.statistics.interval import Estimate

_WORTH = 8
"""Figures per process: with fewer, starting a process costs more than it saves."""

_OBJECTS = 100_000
"""New objects from one collection to the next: a figure has tens of thousands, and lives on."""

_DIGITS = 4
"""Bytes of a figure's number in a queue."""

_SIGNIFICANT = 5
"""Digits of a number that is drawn as a dot: more cannot be seen."""

Drawing = tuple[str, list[Mark]]
"""An ``<svg>`` element, and what its marks tell."""


class Drawings:
    """Figures that other processes draw while this one goes on.

    Plots hold functions and cannot be sent to a process, but a forked process has them already. It
    draws what it finds in the queues at that time; so does this process when it has nothing else
    to do. What a process does not draw, because it was killed or because it cannot, is drawn here,
    with the error if there is one.
    """

    def __init__(self) -> None:
        self._plots: list[Plot] = []
        self._queued = 0
        self._queues: list[int] = []
        self._helpers: list[tuple[BaseProcess, IO[bytes]]] = []

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
        for process, file in self._helpers:
            process.kill()
            process.join()
            file.close()
        for queue in self._queues:
            os.close(queue)

    def begin(self, plots: Sequence[Plot]) -> None:
        """Begin to draw plots with unique names, or wait if they are too few for a process."""
        self._plots += plots
        count = len(self._plots) - self._queued
        helpers = min(count // _WORTH, _processors() - 1)
        if helpers < 1:
            return
        # Those with the most data first, so that no process draws one after all others have ended.
        order = sorted(
            range(self._queued, len(self._plots)), key=lambda place: -len(self._plots[place].data)
        )
        self._queued = len(self._plots)
        self._queues.insert(0, _queue(order))  # processes that run already do not know it
        for _ in range(helpers):
            file = os.fdopen(os.memfd_create("drawings"), "w+b")
            process = multiprocessing.get_context("fork").Process(
                target=_help, args=(tuple(self._plots), tuple(self._queues), file), daemon=True
            )
            process.start()
            self._helpers.append((process, file))

    def finish(self) -> dict[str, Drawing]:
        """Return all drawings by the names of their plots."""
        aside = range(self._queued, len(self._plots))
        places = chain(aside, _taken(self._queues))
        drawn = {self._plots[place].name: touchable_svg(self._plots[place]) for place in places}
        for process, file in self._helpers:
            process.join()
            drawn.update(_read(file))
        return {plot.name: drawn.get(plot.name) or touchable_svg(plot) for plot in self._plots}


def _processors() -> int:
    if sys.platform != "linux":  # elsewhere system libraries may not survive a fork
        return 1
    return len(os.sched_getaffinity(0))


def _queue(places: Sequence[int]) -> int:
    """Return a file of places, open at its beginning."""
    queue = os.memfd_create("queue")
    with open(queue, "wb", closefd=False) as file:
        file.write(b"".join(place.to_bytes(_DIGITS, "big") for place in places))
    os.lseek(queue, 0, os.SEEK_SET)
    return queue


def _taken(queues: Sequence[int]) -> Iterator[int]:
    """Take places from queues until they are empty.

    All processes share one position in the file, so that none reads what another has read.
    """
    for queue in queues:
        while place := os.read(queue, _DIGITS):
            yield int.from_bytes(place, "big")


def _help(plots: Sequence[Plot], queues: Sequence[int], file: IO[bytes]) -> None:
    """Draw the plots in the queues, in a process apart."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    gc.freeze()  # else each collection goes through what all processes share, and so copies it
    gc.set_threshold(_OBJECTS)
    for place in _taken(queues):
        with contextlib.suppress(Exception):  # the parent meets it as well
            pickle.dump((plots[place].name, touchable_svg(plots[place])), file)
            file.flush()


def _read(file: IO[bytes]) -> Iterator[tuple[str, Drawing]]:
    """Return what a process has drawn; if it was killed, the last one may have been cut off."""
    file.seek(0)
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(file)  # nobody else can write to this file


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
