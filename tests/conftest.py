"""Real data sets, which the tests take where they find them."""

import os
from pathlib import Path

import pytest

from benchmark.data.catalog import data_root


def find_real_data(name):
    """Return the folder of real data that holds a file or folder, or skip the test."""
    places = [Path(__file__).parents[2] / "shared" / "data"]
    if os.environ.get("PALIMPSEST_DATA"):
        places.insert(0, data_root(None))
    for place in places:
        if (place / name).exists():
            return place
    pytest.skip(f"{name} is neither in $PALIMPSEST_DATA nor in ../shared/data")


@pytest.fixture(scope="session")
def real_data():
    return find_real_data
