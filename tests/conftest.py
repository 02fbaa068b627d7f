"""What all tests share: one thread a process, and real data sets where there are any."""

import os
from pathlib import Path

import pytest

from benchmark.data.catalog import data_root

# One thread a process, as in a run's worker: several processes with two each wait for one another.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


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
