"""Suites whose strategies and scenarios are those of the plugin files beside this one."""

from pathlib import Path

import pytest
import yaml

from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.suites.loading import load_suite

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("seams")


@pytest.fixture(scope="module")
def make_runs(root, registries):
    """Runs of one scenario, by the strategies' settings."""

    def make(strategies, scenario, seeds=(0,), probes=()):
        suite = {
            "suite": "seams",
            "seeds": list(seeds),
            "scenarios": {"it": scenario},
            "strategies": strategies,
            "probes": list(probes),
        }
        path = root / "suite.yaml"
        path.write_text(yaml.safe_dump(suite, sort_keys=False))
        return load_suite(path).runs("cpu", root)

    with registries():
        load_files([HERE / "methods.py", HERE / "families.py"])
        yield make
