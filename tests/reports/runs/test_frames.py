import numpy as np
import pandas as pd
import pytest
from scipy import stats

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.frames import curves_frame, mean_matrix, summary_frame
from palimpsest.reports.statistics.grouped import drawn, over_seeds
from palimpsest.reports.statistics.interval import mean_estimate

FIRST = [[0.9, 0.1], [0.5, 0.8]]
SECOND = [[0.8, 0.1], [0.6, 0.9]]
CURVES = [
    {"model": 0, "steps": [0, 10], "accuracy": [[0.1, 0.9]]},
    {"model": 1, "steps": [0, 1, 10], "accuracy": [[0.9, 0.3, 0.5], [0.1, 0.2, 0.8]]},
]


@pytest.fixture
def pair(record):
    return group([record(FIRST, curves=CURVES), record(SECOND, seed=1)])


def test_summary_frame_by_hand(pair):
    frame = summary_frame(pair).set_index("metric")
    forgetting = frame.loc["forgetting"]
    assert forgetting["mean"] == forgetting["median"] == pytest.approx(0.3)
    assert (forgetting["minimum"], forgetting["maximum"]) == pytest.approx((0.2, 0.4))
    assert np.isnan(forgetting["low"])  # two seeds
    assert frame.loc["learning_accuracy", "minimum"] == 0.8
    assert frame.loc["minimum_accuracy", "mean"] == pytest.approx((0.3 + 0.6) / 2)
    assert frame.loc["plasticity", "n"] == 0
    assert np.isnan(frame.loc["plasticity", "mean"])


def test_summary_frame_has_intervals_within_the_metric_and_seeds_that_are_far_off(record):
    kept = [0.99, 1.0, 0.98, 0.97, 0.2]
    cells = group([record([[0.9, 0.1], [a, 0.9]], seed=seed) for seed, a in enumerate(kept)])
    stability = summary_frame(cells).set_index("metric").loc["stability"]
    assert (stability["n"], stability["far_off"], stability["median"]) == (5, 1, 0.98)
    low, high = stats.t.interval(0.95, 4, np.mean(kept), stats.sem(kept))
    assert high > stability["high"] == 1
    assert stability["low"] == pytest.approx(low)


def test_averages_over_seeds_are_those_of_single_numbers():
    values = {"a": [0.9, 0.95, 1.0, 1.0, 0.7], "b": [0.1, 0.2, 0.3]}
    frame = pd.DataFrame([(k, x) for k, own in values.items() for x in own], columns=["k", "x"])
    found = over_seeds(frame.groupby("k")["x"], ACCURACY).set_index("k")
    for name, own in values.items():
        expected, row = mean_estimate({"": own}, ACCURACY), found.loc[name]
        assert (row["n"], row["mean"]) == (expected.n, pytest.approx(expected.value))
        ends = [np.nan if end is None else end for end in (expected.low, expected.high)]
        assert row[["low", "high"]].tolist() == pytest.approx(ends, nan_ok=True)
    shown = drawn(found)
    assert shown.loc["b", ["low", "high"]].tolist() == [0.1, 0.3]
    assert shown.loc["a", "low"] == found.loc["a", "low"]


def test_curves_frame_is_tidy_and_counts_from_the_second_model(pair):
    frame = curves_frame(pair)
    assert len(frame) == 2 + 2 * 3
    earlier = frame[(frame["model"] == 0) & (frame["trained"] == 1)]
    assert list(earlier["accuracy"]) == [0.9, 0.3, 0.5]
    assert list(earlier["position"]) == [0, 1, 10]
    assert list(frame[frame["trained"] == 0]["position"]) == [-10, 0]


def test_positions_add_up_over_models(store):
    split = [cell for cell in group(store) if cell.scenario == "split"]
    frame = curves_frame([cell for cell in split if cell.variant.label == "finetune"])
    starts = frame[frame["step"] == 0].groupby("trained")["position"].unique()
    assert [list(start) for start in starts] == [[-300], [0], [300], [600], [900]]


def test_one_model_counts_from_its_own_start(record):
    (cell,) = group([record([[0.9]], curves=CURVES[:1])])
    assert list(curves_frame([cell])["position"]) == [0, 10]


def test_no_curves_give_an_empty_frame(record):
    frame = curves_frame(group([record(SECOND)]))
    assert frame.empty
    assert "position" in frame


def test_mean_matrix_by_hand_with_undefined_cells(pair, record):
    assert mean_matrix(pair[0]) == pytest.approx(np.array([[0.85, 0.1], [0.55, 0.85]]))
    (joint,) = group([record([[None, None], [0.9, 0.8]], strategy="joint", seed=i) for i in (0, 1)])
    found = mean_matrix(joint)
    assert np.isnan(found[0]).all()
    assert list(found[1]) == pytest.approx([0.9, 0.8])
