"""Runs of the scenario of a test's module."""

import pytest
from one_run import run_of


@pytest.fixture
def make_run(tmp_path, request):
    def make(strategy="finetune", settings=None, seed=0, **changes):
        scenario = request.module.SCENARIO | changes
        return run_of(tmp_path, scenario, strategy, settings, seed)

    return make
