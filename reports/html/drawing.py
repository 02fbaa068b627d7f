"""Draws all figures of a report, with several processes where there are many."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Sequence

from reports.figures.marks import Mark
from reports.figures.plot import Plot
from reports.formats.svg import touchable_svg

_WORTH = 8
"""Figures per process: with fewer, starting a process costs more than it saves."""

_OBJECTS = 100_000
"""New objects from one collection to the next: a figure has tens of thousands, and lives on."""

Drawing = tuple[str, list[Mark]]
"""An ``<svg>`` element, and what its marks tell."""

_plots: Sequence[Plot] = ()


def drawings(plots: Sequence[Plot]) -> dict[str, Drawing]:
    """Draw plots and return them by name.

    Args:
        plots: With unique names.
    """
    processes = min(len(plots) // _WORTH, len(os.sched_getaffinity(0)) if _can_fork() else 1)
    if processes < 2:
        return {plot.name: touchable_svg(plot) for plot in plots}
    # Those with the most data first, so that no process draws one after all others have ended.
    order = sorted(range(len(plots)), key=lambda place: -len(plots[place].data))
    # Plots hold functions and cannot be pickled; forked processes have them already.
    with multiprocessing.get_context("fork").Pool(processes, _take, (plots,)) as pool:
        drawn = dict(zip(order, pool.map(_draw, order, chunksize=1), strict=True))
    return {plot.name: drawn[place] for place, plot in enumerate(plots)}


def _can_fork() -> bool:
    return sys.platform == "linux"  # elsewhere system libraries may not survive a fork


def _take(plots: Sequence[Plot]) -> None:
    global _plots  # noqa: PLW0603  # set once, when the process starts
    gc.freeze()  # else each collection goes through what all processes share, and so copies it
    gc.set_threshold(_OBJECTS)
    _plots = plots


def _draw(place: int) -> Drawing:
    return touchable_svg(_plots[place])
