from itertools import pairwise

import pytest

from palimpsest.reports.figures.curves import strategy_curves_plot
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.html.live_curves import MANY, live_curves, shown_steps
from palimpsest.reports.runs.cells import group


@pytest.mark.parametrize("measured", [0, 1, MANY, MANY + 1, 1000, 12_345, 10**6])
def test_the_first_and_the_last_steps_are_always_shown(measured):
    found = list(shown_steps(measured))
    assert len(found) <= MANY
    assert found == sorted(set(found))
    assert found[:100] == list(range(min(100, measured)))
    assert found[-1:] == list(range(measured))[-1:]
    gaps = [b - a for a, b in pairwise(found[100:])]
    assert len(set(gaps)) <= 1
    assert len(found) > MANY / 3 or len(found) == measured


def test_the_caption_says_that_steps_are_left_out(record):
    def plot(length):
        steps = list(range(length))
        curves = [{"model": 0, "steps": steps, "accuracy": [[0.5] * length]}]
        cells = group([record([[0.5]], seed=seed, curves=curves) for seed in range(2)])
        return live_curves(strategy_curves_plot(cells, styles(cells)), styles(cells))

    assert f"at most {MANY} of each" in plot(MANY + 1).caption
    assert len(plot(MANY + 1).packed["steps"][0]) < MANY
    assert "at most" not in plot(MANY).caption
    assert len(plot(MANY).packed["curves"]) == 2
    assert len(plot(MANY).packed["steps"]) == 1
