import gzip
import io
from base64 import b64decode

import numpy as np
import pandas as pd
import pytest

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.downloads import MANY, downloads
from palimpsest.reports.statistics.interval import mean_estimate


def plot(data):
    return Plot("Curves", "", "", data, draw=lambda: None, name="scenario-1-curves")


def read(found):
    assert found.address.startswith("data:application/gzip;base64,")
    text = gzip.decompress(b64decode(found.address.partition(",")[2])).decode()
    return pd.read_csv(io.StringIO(text))


@pytest.fixture
def curves():
    """As ``frames.curves_frame``: more rows than the page takes."""
    rng = np.random.default_rng(0)
    rows = [
        ("same", variant, seed, step, rng.random())
        for variant in ("ewc", "wpl")
        for seed in range(4)
        for step in range(MANY // 4)
    ]
    return pd.DataFrame(rows, columns=["scenario", "variant", "seed", "step", "accuracy"])


def test_few_rows_are_all_there(curves):
    few = curves[curves["step"] < 10]
    (found,) = downloads(plot(few))
    assert found.file == "scenario-1-curves.csv.gz"
    assert found.note == ""
    pd.testing.assert_frame_equal(read(found), few.reset_index(drop=True), atol=1e-6)


def test_many_rows_are_averaged_over_seeds_and_the_link_says_so(curves):
    (found,) = downloads(plot(curves))
    assert "over seeds" in found.note
    data = read(found)
    assert list(data.columns) == [
        "scenario", "variant", "step", "n", "mean", "low", "high", "minimum", "maximum",
    ]  # fmt: skip
    assert len(data) == len(curves) / 4
    own = curves[(curves["variant"] == "wpl") & (curves["step"] == 7)]["accuracy"]
    expected = mean_estimate({"": own}, ACCURACY)
    [row] = data[(data["variant"] == "wpl") & (data["step"] == 7)].itertuples()
    assert (row.n, row.mean) == (4, pytest.approx(expected.value, abs=1e-6))
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
