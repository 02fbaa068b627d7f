"""Mistakes that can be known beforehand are told before anything trains, with the line."""

import pytest
from plans import planned, refusal

from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.runs.runner import execute_job


def optimizer(**settings):
    return {"optimizer": settings}


def theirs(name, **arguments):
    return {"strategy": f"avalanche:{name}", "arguments": arguments}


SCENARIOS = {
    "optimizer.nesterov: nesterov needs momentum": optimizer(name="sgd", nesterov=True),
    "second_optimizer.nesterov": {"second_optimizer": {"name": "sgd", "nesterov": True}},
    "learning_rate: input should be less than or equal to 1e+30": optimizer(learning_rate=1e300),
    "learning_rate: input should be greater than or equal to 1e-30": optimizer(learning_rate=1e-99),
    "weight_decay: input should be": optimizer(weight_decay=1e39),
    "weight_decay.shared: input": optimizer(name="sgd", weight_decay={"shared": 1e39}),
    "eps: input should be greater": optimizer(name="adam", eps=1e-46),
    "rotation: input should be less": {"second_data": "rotated", "rotation": 1e300},
    "width: width 100000 makes 10,000,000,000 weights": {"width": 100_000},
    "width: width 20000 makes 3,600,000,000": {"width": 20_000, "network": "cnn"},
    "hidden_layers.1: input should be less": {"hidden_layers": [4, 10**6]},
    "models: input should be less": {"family": "model_sequence", "models": 10**6},
    "experiences: input should be less": {"family": "permuted", "experiences": 10**6},
    "curve needs a validation split": {"validation": 0, "curve": {"split": "validation"}},
    "samples is 3, fewer than the 5 exp": {"family": "split", "experiences": 5, "samples": 3},
}


@pytest.mark.parametrize("message", SCENARIOS)
def test_settings_that_no_run_could_have(tmp_path, message):
    told = refusal(tmp_path, SCENARIOS[message])
    assert message in told
    assert "scenarios.s" in told


STRATEGIES = {
    "strength: input should be less than or equal to 1e+30": {"strategy": "lwf", "strength": 1e39},
    "strengths.1: input should be less": {"strategy": "ewc", "strengths": [1, 1e39]},
    "temperature: input should be greater": {"strategy": "lwf", "temperature": 1e-300},
    "damping: input should be greater": {"strategy": "si", "damping": 1e-300},
    "weight_decay: input should be less": {"strategy": "wpl", "weight_decay": 1e39},
    "mask_steps is 2, and a training in scenario 's' has 2 steps": {
        "strategy": "exssnet",
        "mask_steps": 2,
    },
    "memory: input should be greater than or equal to 0": {"strategy": "replay", "memory": -1},
    "memories.1: input should be greater": {"strategy": "der", "memories": [10, -5]},
    "memory: expected a whole number, got 2.5": {"strategy": "der", "memory": 2.5},
    "memory_batch: input should be greater": {"strategy": "replay", "memory_batch": 0},
    "alpha: input should be greater": {"strategy": "der", "alpha": -0.1},
    "arguments.alpha: avalanche:LwF": theirs("LwF", alpha="one", temperature=2),
    "arguments.temperature: avalanche:LwF": theirs("LwF", alpha=1, temperature=[2]),
    "mem_size is of type int there, got '200'": theirs("Replay", mem_size="200"),
    "mem_size is of type int there, got 1.5": theirs("Replay", mem_size=1.5),
    "arguments.mem_size: expected 0 or more, got -5": theirs("Replay", mem_size=-5),
    "n_classes is of type int there, got 'ten'": theirs("CoPE", mem_size=5, n_classes="ten"),
    "Mode must be separate or online": theirs("EWC", ewc_lambda=1, mode="wrong"),
    "ewc_lambda: expected a number up to 1e+30": theirs("EWC", ewc_lambda=1e300),
}


@pytest.mark.parametrize("message", STRATEGIES)
def test_strategies_that_no_run_could_have(tmp_path, message):
    told = refusal(tmp_path, {}, STRATEGIES[message])
    assert message in told
    assert "strategies.x" in told


def test_masks_that_would_take_all_steps_of_all_epochs(tmp_path):
    scenario = {"steps": None, "epochs": 2, "samples": 200, "batch_size": 64}
    too_many = {"strategy": "exssnet", "mask_steps": 8}
    told = refusal(tmp_path, scenario, too_many)
    assert "training in scenario 's' has at most 8 steps: none" in told
    assert planned(tmp_path, scenario, too_many | {"mask_steps": 7}).todo


FINE = [
    theirs("LwF", alpha=1, temperature=2),
    theirs("LwF", alpha=[0.5, 1], temperature=2.0),
    theirs("Replay", mem_size=20),
    theirs("EWC", ewc_lambda=1, mode="online", decay_factor=0.5),
    theirs("CWRStar", cwr_layer_name="a_head"),
    theirs("Naive"),
]


@pytest.mark.parametrize("strategy", FINE, ids=str)
def test_what_avalanche_takes_is_taken(tmp_path, strategy):
    assert len(planned(tmp_path, {}, strategy).todo) == 1


PLUGIN = """\
from typing import Literal

import torch

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.streams.parts import Part
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.settings.values import Count


class Odd(ScenarioSettings):
    family: Literal["odd"] = "odd"
    steps: Count | None = 2
    fault: str = ""

    def build(self, seed, root, device):
        torch.manual_seed(seed)
        x, y = torch.randn(12, 3), torch.arange(12) % 3
        if self.fault == "NaN":
            x[1, 1] = torch.nan
        elif self.fault == "infinite":
            x[2] = torch.inf
        elif self.fault == "label":
            y[4] = 3
        elif self.fault == "negative":
            y[4] = -1
        elif self.fault == "shape":
            x = torch.randn(12, 4)
        elif self.fault == "float":
            y = y.float()
        elif self.fault == "bool":
            y = y > 0
        elif self.fault == "matrix":
            y = torch.nn.functional.one_hot(y)
        elif self.fault == "short":
            y = y[:-1]
        elif self.fault in {"int8", "int16", "int32", "uint8", "uint16"}:
            y = y.to(getattr(torch, self.fault))
        elif self.fault == "list":
            y = y.tolist()
        elif self.fault == "array":
            y = y.numpy()
        elif self.fault == "inputs":
            x = x.numpy()
        elif self.fault == "column":
            y = y.to(torch.int16)[:, None]
        elif self.fault == "empty":
            x, y = x[:0], y[:0]
        elif self.fault == "bug":
            raise ZeroDivisionError
        elif self.fault == "exit":
            raise SystemExit(3)
        good = torch.randn(6, 3), torch.arange(6) % 3
        blocks = {"first": torch.nn.Linear(3, 3), "second": torch.nn.Linear(3, 3)}
        bank = ModelBank(blocks, [["first"], ["second"]], 3)
        parts = [Part(good, good, good), Part((x, y), good, good)]
        return self.assemble(bank, parts, [0, 1])


SCENARIOS = [Odd]
"""

FAULTS = {
    "NaN": "1 of 12 samples have inputs that are NaN or infinite",
    "infinite": "1 of 12 samples have inputs",
    "label": "labels from 0 to 3, but the model has the classes 0 to 2",
    "negative": "labels from -1 to 2",
    "shape": "the model does not take inputs of shape (4,)",
    "float": "labels are of type torch.float32; expected whole numbers",
    "bool": "labels are of type torch.bool; expected whole numbers",
    "matrix": "labels are of shape (12, 3); expected one number for each sample, (12,)",
    "empty": "it has no samples",
    "short": "12 samples and 11 labels; expected one",
    "list": "labels are a builtins.list; expected a tensor",
    "array": "labels are a numpy.ndarray; expected a tensor",
    "inputs": "inputs are a numpy.ndarray; expected a tensor",
}


@pytest.fixture
def odd(tmp_path, registries):
    with registries():
        file = tmp_path / "odd.py"
        file.write_text(PLUGIN)
        load_files([file])
        yield


@pytest.mark.parametrize("fault", FAULTS)
def test_data_of_a_plugin_that_no_run_could_train_on(odd, tmp_path, fault):
    told = refusal(tmp_path, {"family": "odd", "fault": fault})
    assert "scenarios.s: " in told
    assert FAULTS[fault] in told


@pytest.mark.parametrize("fault", ["", "bug", "exit"])
def test_good_data_and_bugs_of_a_plugin_are_left_to_the_runs(odd, tmp_path, fault):
    assert len(planned(tmp_path, {"family": "odd", "fault": fault}).todo) == 1


@pytest.mark.parametrize("labels", ["int8", "int16", "int32", "uint8", "uint16", "column"])
@pytest.mark.parametrize("strategy", ["replay", "avalanche:Naive"])
def test_labels_of_every_kind_of_whole_number_mean_the_same(odd, tmp_path, labels, strategy):
    results = []
    for fault in ("", labels):
        plan = planned(tmp_path, {"family": "odd", "fault": fault}, {"strategy": strategy})
        (record,) = execute_job(plan.todo, tmp_path)
        assert record.error is None
        results.append((record.accuracy_matrix, record.curves))
    assert results[0] == results[1]
