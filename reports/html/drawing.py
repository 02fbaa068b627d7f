"""All figures of a report, drawn by several processes where there are many."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence

from reports.figures.plot import Plot
from reports.formats.svg import svg_element

_WORTH = 8
"""Figures for each process: below it, starting one costs more than it saves."""

_plots: Sequence[Plot] = ()


def svgs(plots: Sequence[Plot]) -> dict[str, str]:
    """Draw plots and return their ``<svg>`` elements by name.

    Args:
        plots: Each with its own name.
    """
    processes = min(len(plots) // _WORTH, len(os.sched_getaffinity(0)) if _can_fork() else 1)
    if processes < 2:
        return {plot.name: svg_element(plot) for plot in plots}
    # Forked processes have the plots already, which hold functions and cannot be sent.
    with multiprocessing.get_context("fork").Pool(processes, _take, (plots,)) as pool:
        drawn = pool.map(_draw, range(len(plots)), chunksize=1)
    return {plot.name: svg for plot, svg in zip(plots, drawn, strict=True)}


def _can_fork() -> bool:
    return sys.platform == "linux"  # elsewhere system libraries may not survive it


def _take(plots: Sequence[Plot]) -> None:
    global _plots  # noqa: PLW0603  # told once, when the process starts
    _plots = plots


def _draw(place: int) -> str:
    return svg_element(_plots[place])
