"""Figures drawn in several processes are those drawn in one."""

import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.drawing import Drawings


def plot(place):
    def draw():
        figure = Figure(figsize=(1, 1))
        figure.text(0.5, 0.5, f"figure {place}")
        return figure

    # The order in which they are drawn goes by the amount of data.
    return Plot(
        "", "", f"figure {place}", pd.DataFrame({"x": range(place % 5)}), draw, name=f"p-{place}"
    )


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="figures are drawn in one process")
def test_each_figure_has_its_name_whatever_the_order_of_drawing(monkeypatch):
    plots = [plot(place) for place in range(17)]
    found = []
    for cores in ({0, 1}, {0}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: cores)
        with Drawings() as drawings:
            drawings.begin(plots[:9])
            drawings.begin(plots[9:])
            found.append(drawings.finish())
    assert list(found[0]) == [plot.name for plot in plots]
    assert all(f'aria-label="{plot.description}"' in found[0][plot.name][0] for plot in plots)
    assert found[0] == found[1]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="figures are drawn in one process")
def test_what_a_killed_process_leaves_is_drawn_here(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    here = os.getpid()

    def deadly(drawn):
        def draw():
            if os.getpid() != here:
                os.kill(os.getpid(), signal.SIGKILL)
            return drawn()

        return draw

    plots = [plot(place) for place in range(17)]
    # The one with the most data comes first.
    plots[4] = replace(plots[4], data=pd.DataFrame({"x": range(9)}), draw=deadly(plots[4].draw))
    with Drawings() as drawings:
        drawings.begin(plots)
        (_, task) = drawings._begun[0]
        assert isinstance(task.exception(), BrokenProcessPool)
        found = drawings.finish()
    assert [*found] == [plot.name for plot in plots]
    assert all(f'aria-label="{plot.description}"' in found[plot.name][0] for plot in plots)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="figures are drawn in one process")
def test_an_error_is_raised_where_the_report_is_written(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})

    def broken():
        raise ValueError("no such colour")

    plots = [replace(plot(place), draw=broken) for place in range(9)]
    with pytest.raises(ValueError, match="no such colour"), Drawings() as drawings:
        drawings.begin(plots)
        drawings.finish()
    assert not multiprocessing.active_children()
