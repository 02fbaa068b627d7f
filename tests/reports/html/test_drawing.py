"""Figures drawn in several processes are those drawn in one."""

import os

import pandas as pd
import pytest
from matplotlib.figure import Figure

from reports.figures.plot import Plot
from reports.html.drawing import drawings


def plot(place):
    def draw():
        figure = Figure(figsize=(1, 1))
        figure.text(0.5, 0.5, f"figure {place}")
        return figure

    # The order in which they are drawn goes by the amount of data.
    return Plot(
        f"p-{place}", "", "", f"figure {place}", pd.DataFrame({"x": range(place % 5)}), draw
    )


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="figures are drawn in one process")
def test_each_figure_has_its_name_whatever_the_order_of_drawing(monkeypatch):
    plots = [plot(place) for place in range(17)]
    found = []
    for cores in ({0, 1}, {0}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: cores)
        found.append(drawings(plots))
    assert list(found[0]) == [plot.name for plot in plots]
    assert all(f'aria-label="{plot.description}"' in found[0][plot.name][0] for plot in plots)
    assert found[0] == found[1]
