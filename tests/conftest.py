"""What all tests share: one thread a process, and real data sets where there are any."""

import gc
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from palimpsest.benchmark import plugins
from palimpsest.benchmark.data.catalog import data_root
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.models.registry import NETWORKS
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.plugins.source import MODULE_PREFIX
from palimpsest.strategies.base.catalogue import STRATEGIES

# One thread a process, as in a run's worker: several processes with two each wait for one another.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


ONE_BY_ONE = ("test_every_strategy.py", "test_kit_finds_faults.py", "test_probes.py")
"""Files of long tests that share nothing, for whichever process has time at the end."""

TOGETHER = ("test_figure_truth.py", "test_figure_truth_curves.py")
"""Files that need the same figures, which take longer to draw than to look at."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out the tests of a file to one process, the files with the most tests first."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            if file.endswith(ONE_BY_ONE):
                return nodeid
            return "together" if file.endswith(TOGETHER) else file

    return Scheduling(config, log)


def pytest_collection_finish():
    """Everything imported stays: to look for garbage in it again and again takes seconds."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish():
    gc.unfreeze()


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


@pytest.fixture(autouse=True)
def output_given_back():
    """A command that keeps standard output would print what later tests print to a closed file."""
    yield
    output = sys.modules.get("palimpsest.benchmark.cli.printing.output")
    if output is not None:
        kept, output._Output.own = output._Output.own, None
        assert kept is None


@contextmanager
def as_shipped_within():
    with (
        mock.patch.dict(STRATEGIES.added),
        mock.patch.dict(FAMILIES),
        mock.patch.dict(NETWORKS),
        mock.patch.dict(METRICS),
        mock.patch.dict(plugins._origins),
        mock.patch.dict(plugins._sources),
    ):
        forget_modules()  # of tests that left theirs
        try:
            yield
        finally:
            forget_modules()


def forget_modules():
    for name in [name for name in sys.modules if name.startswith(MODULE_PREFIX)]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def own_path():
    """Plugins add their folders to the path of modules."""
    before = [*sys.path]
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def registries():
    """A context after which strategies, scenarios, networks and metrics are those before it."""
    return as_shipped_within
