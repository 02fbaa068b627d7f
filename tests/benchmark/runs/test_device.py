"""A run on an accelerator, where there is one."""

import pytest
import torch
from one_run import execute

from palimpsest.benchmark.speed import importance, training
from palimpsest.benchmark.suites.loading import load_suite

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

SUITE = """\
suite: device
seeds: 1
probes: [distance, importance, similarity, refit]
scenarios:
  two_models: {data: digits, second_data: permuted, steps: 20, width: 20}
strategies:
  finetune: {}
  joint: {}
  independent: {}
  freeze: {}
  wpl: {strengths: [1000], fisher: monte_carlo}
  si: {strengths: [1]}
  lwf: {strategy: "avalanche:LwF", arguments: {alpha: 1.0, temperature: 2.0}}
"""


def test_every_strategy_runs_there(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    for run in load_suite(str(path)).runs("cuda", tmp_path):
        record = execute(run, tmp_path, tmp_path)
        assert record.status == "done", (run.strategy, record.error)
        assert record.peak_memory > 0


@pytest.mark.parametrize(
    "train", [training.train_by_loop, training.train_by_avalanche, training.train_by_harness]
)
def test_speed_is_measured_there(tmp_path, train):
    settings = ["scenarios.split.data=digits", "scenarios.split.samples=150"]
    run = load_suite("speed", settings=settings).runs("cuda", tmp_path)[0]
    seconds, model = train(run, tmp_path)
    assert min(seconds.values()) > 0
    assert next(model.parameters()).is_cuda


def test_importance_is_estimated_there():
    for case in importance.cases("cuda", 4):
        assert case.run()["importance"] > 0
