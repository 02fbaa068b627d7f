"""Plans of one small run, and what is said where there can be none."""

import pytest

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.options import RunOptions
from palimpsest.benchmark.orchestration.plan import make_plan
from palimpsest.benchmark.suites.loading import load_suite


def planned(tmp_path, scenario, strategy="finetune"):
    suite = {
        "suite": "example",
        "seeds": 1,
        "scenarios": {"s": {"family": "two_models", "data": "digits", "steps": 2} | scenario},
        "strategies": {"x": {"strategy": strategy} if isinstance(strategy, str) else strategy},
    }
    return make_plan([load_suite(suite)], RunOptions(store=tmp_path / "x.db", data_root=tmp_path))


def refusal(tmp_path, scenario, strategy="finetune"):
    with pytest.raises(UserError) as caught:
        planned(tmp_path, scenario, strategy)
    return str(caught.value)
