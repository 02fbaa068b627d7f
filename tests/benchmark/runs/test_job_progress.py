"""How far a job is, as it is handed over."""

import json
import math

import pytest

from palimpsest.benchmark.runs.job_progress import _POINTS, JobProgress


@pytest.mark.parametrize("points", [0, 1, 2, 59, 60, 61, 119, 120, 1000])
def test_a_copy_has_few_points_the_first_and_the_last_among_them(points):
    steps = [3 * place for place in range(points)]
    curve = {"model": 1, "steps": steps, "accuracy": [[0.25] * points, list(steps)]}
    (copied,) = JobProgress(0.5, [curve]).copied().curves
    assert len(copied["steps"]) <= _POINTS + 1
    assert len(copied["steps"]) >= min(points, _POINTS // 2)
    assert copied["steps"][:1] + copied["steps"][-1:] == steps[:1] + steps[-1:]
    assert copied["accuracy"] == [[0.25] * len(copied["steps"]), copied["steps"]]


def test_a_copy_is_of_now_and_can_be_sent():
    curve = {"model": 0, "steps": [0, 1], "accuracy": [[math.nan, 1 / 3]]}
    job_progress = JobProgress(0.5, [curve])
    copied = job_progress.copied()
    curve["steps"].append(2)
    curve["accuracy"][0].append(0.5)
    assert copied.curves == [{"model": 0, "steps": [0, 1], "accuracy": [[None, 0.3333]]}]
    assert json.loads(json.dumps(copied.curves, allow_nan=False)) == copied.curves
    assert len(job_progress.copied().curves[0]["steps"]) == 3


def test_a_point_that_is_half_measured_is_left_out():
    curve = {"model": 0, "steps": [0, 1, 2], "accuracy": [[0.1, 0.2]]}
    assert JobProgress(0.5, [curve]).copied().curves[0]["steps"] == [0, 1]
