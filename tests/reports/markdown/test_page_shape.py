"""What is read off curves, against plain arithmetic."""

from dataclasses import replace

import pytest

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.shape import at_step, distance, lowest
from palimpsest.reports.runs.cells import group

STEPS = [0, 1, 2, 50, 100]
A = [[0.9, 0.4, 0.3, 0.2, 0.6], [0.8, 0.7, 0.6, 0.1, 0.5]]
B = [[0.1, 0.2, 0.3, 0.8, 0.9], [0.1, 0.2, 0.3, 0.6, 0.7]]


@pytest.fixture
def cell(record):
    """Two seeds' runs with the curves A and B."""
    records = [
        record(
            [[0.9, 0.1], [0.5, 0.9]],
            seed=seed,
            curves=[
                {"model": 0, "steps": [0, 10], "accuracy": [[0.1, 0.9]]},
                {"model": 1, "steps": STEPS, "accuracy": [A[seed], B[seed]]},
            ],
        )
        for seed in range(2)
    ]
    return group(records)[0]


def test_values_at_a_step_are_of_the_last_training(cell):
    assert at_step(cell, 0, 1) == {0: 0.4, 1: 0.7}
    assert at_step(cell, 1, 100) == {0: 0.9, 1: 0.7}


def test_the_lowest_point_leaves_out_step_0_and_what_comes_later(cell):
    assert lowest(cell, 0, 2) == {0: 0.3, 1: 0.6}
    assert lowest(cell, 0, 50) == {0: 0.2, 1: 0.1}
    assert lowest(cell, 1, 2) == {0: 0.2, 1: 0.2}


def test_the_distance_is_the_root_of_the_mean_square_in_points(cell):
    shape = {0: [0, 20, 50], 1: [0, 75, 80]}  # at steps 0, 50, 100; the means: 15, 55; 70, 80
    expected = ((5**2 + 5**2 + 5**2 + 0) / 4) ** 0.5
    assert distance(cell, [0, 50, 100], shape) == pytest.approx(expected)


def test_the_distance_from_what_was_read_off(cell, study):
    paper = study([replace(run, suite="paper") for run in cell.done])
    given = {
        "A": {"model": 0, "variant": "wpl@1", "steps": [0, 50, 100], "accuracy": [0, 20, 50]},
        "B": {"model": 1, "variant": "wpl@1", "steps": [2, 50], "accuracy": [40, 75]},
        "other": {"model": 0, "variant": "finetune", "steps": [100], "accuracy": [50]},
    }
    found = paper.distance_from(cell.scenario, "finetune", given, as_="wpl@1")
    assert found == pytest.approx(((5**2 + 5**2 + 10**2 + 5**2) / 4) ** 0.5)
    assert paper.distance_from(cell.scenario, "finetune", given) == pytest.approx(5)
    with pytest.raises(UserError, match="no entry of 'wpl@2'; did you mean 'wpl@1'"):
        paper.distance_from(cell.scenario, "finetune", given, as_="wpl@2")
    with pytest.raises(UserError, match="'A': model is 3; write 0 for A or 1 for B"):
        paper.distance_from(cell.scenario, "finetune", {"A": {**given["A"], "model": 3}})
    start = {"other": {**given["other"], "steps": [0]}}
    with pytest.raises(UserError, match="no point after step 0"):
        paper.distance_from(cell.scenario, "finetune", start)


def test_a_step_that_was_not_measured_is_an_error(cell):
    with pytest.raises(UserError, match="not measured at step 3, but at 0, 1, 2"):
        at_step(cell, 0, 3)


def test_runs_without_curves_are_an_error(record):
    plain = group([record([[0.9, 0.1], [0.5, 0.9]])])[0]
    with pytest.raises(UserError, match="has no curves"):
        lowest(plain, 0, 50)
