"""The probe of uncertainty: likelihood and calibration, before and after."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import yaml
from one_run import execute
from torch import nn

from palimpsest.benchmark.probes.uncertainty import DRAWS, calibration_error
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.strategies.posteriors.layers import posterior_layers

POOL = {
    "family": "model_sequence",
    "models": 3,
    "hidden_layers": 3,
    "pool": 2,
    "width": 8,
    "steps": 12,
    "samples": 200,
    "test_samples": 60,
    "change": "rotated",
}
CLASSES = {"family": "split", "experiences": 2, "samples": 200, "test_samples": 60, "width": 8}
LAPLACE = {"samples": 40, "strength": 10}


@pytest.fixture
def make(tmp_path):
    """A function that makes one run."""

    def make_run(strategy="laplace", settings=None, scenario=POOL, probes=()):
        settings = LAPLACE if strategy == "laplace" and settings is None else settings or {}
        suite = {
            "suite": "test",
            "seeds": [3],
            "scenarios": {"it": scenario},
            "strategies": {strategy: settings},
            "probes": list(probes),
        }
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
        (run,) = load_suite(str(tmp_path / "suite.yaml")).runs("cpu", tmp_path)
        return run

    return make_run


def slow_error(p, y, bins=15):
    """The expected calibration error, sample by sample."""
    n, total = len(y), 0.0
    for b in range(bins):
        own = [i for i in range(n) if b / bins < p[i].max() <= (b + 1) / bins]
        if own:
            right = np.mean([p[i].argmax() == y[i] for i in own])
            total += len(own) / n * abs(right - np.mean([p[i].max() for i in own]))
    return total


@pytest.mark.parametrize("classes", [2, 3, 30])
def test_the_calibration_error_is_that_of_a_loop(classes):
    generator = torch.Generator().manual_seed(classes)
    p = (2 * torch.randn(500, classes, generator=generator, dtype=torch.float64)).softmax(-1)
    y = torch.randint(classes, (500,), generator=generator)
    assert calibration_error(p, y) == pytest.approx(slow_error(p.numpy(), y.numpy()))


def test_the_calibration_error_at_its_limits():
    sure, y = torch.eye(4, dtype=torch.float64), torch.arange(4)
    assert calibration_error(sure, y) == 0
    assert calibration_error(sure, y.flip(0)) == 1
    half = torch.full((4, 2), 0.5, dtype=torch.float64)
    assert calibration_error(half, torch.tensor([0, 1, 0, 1])) == 0


def by_hand(logits, y):
    """Accuracy, likelihood and calibration of the mean of probabilities, in numpy."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).mean(axis=0)
    picked = np.array([p[i, c] for i, c in enumerate(y)])
    return [
        np.mean(p.argmax(-1) == y),
        -np.mean(np.log(picked)),
        slow_error(p, y),
        p.max(-1).mean(),
    ]


def test_rows_are_those_of_a_loop_over_draws(make, tmp_path):
    ready = prepare(make(), tmp_path)
    scenario, expected = ready.scenario, {}

    def note(model, moment):
        x, y, _ = scenario.test[model].dataset.samples
        bank = ready.scenario.model.eval()
        draws = torch.Generator().manual_seed(derive(3, "posterior", model))
        with torch.no_grad():
            labels = torch.full((len(x),), scenario.test[model].task_label)
            mean = [bank(x[:], labels).double().numpy()]
            sampled = []
            for _ in range(DRAWS):
                with ready.plugin.sampled(bank, model, draws):
                    sampled.append(bank(x[:], labels).double().numpy())
        for weights, logits in (("mean", mean), ("sampled", sampled)):
            expected[model, moment, weights] = by_hand(np.stack(logits), y.numpy())

    for model, experience in enumerate(scenario.train):
        ready.strategy.train(experience, **TRAINING)
        note(model, "before")
    for model in range(3):
        note(model, "after")
    found = ready.probes["uncertainty"].result(ready.strategy)["rows"]
    assert len(found) == len(expected) == 12
    for row in found:
        own = [row[name] for name in ("accuracy", "nll", "ece", "confidence")]
        key = (row["model"], row["moment"], row["weights"])
        assert own == pytest.approx(expected[key], abs=1e-6), key
    moved = {moment: expected[0, moment, "sampled"] for moment in ("before", "after")}
    assert moved["before"] != moved["after"] != expected[0, "after", "mean"]


def test_draws_that_are_all_sure_and_wrong_have_a_likelihood(make, tmp_path, monkeypatch):
    ready = prepare(make(), tmp_path)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)

    @contextmanager
    def steep(model, *_):
        with torch.no_grad():  # so steep that probabilities are less than any number
            for parameter in model.parameters():
                parameter *= 1e3
            yield
            for parameter in model.parameters():
                parameter /= 1e3

    monkeypatch.setattr(ready.plugin, "sampled", steep)
    rows = ready.probes["uncertainty"].result(ready.strategy)["rows"]
    found = [row["nll"] for row in rows if (row["moment"], row["weights"]) == ("after", "sampled")]
    assert all(nll is not None and nll > 1000 for nll in found)


@pytest.mark.parametrize("strategy", ["vcl", "badam"])
def test_sigma_is_that_of_the_weights_of_a_models_own_layers(make, tmp_path, strategy):
    ready = prepare(make(strategy, {"draws": 1} if strategy == "badam" else {}), tmp_path)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    bank, sigma = ready.scenario.model, {}
    for k, block in enumerate(sorted(bank.blocks)):
        sigma[block] = 100.0 if block.startswith("head") else 0.001 * 2**k
    for name, layer in posterior_layers(bank).items():
        ratio = 2 * np.log(sigma[name.split(".")[1]]) - layer.start
        layer.log_ratios["weight"].data.fill_(ratio)
        layer.log_ratios["bias"].data.fill_(5.0)
    if strategy == "badam":
        for name, own in ready.plugin.deviations.items():
            own.fill_(sigma[name.split(".")[1]] if name.endswith("weight") else 7.0)

    rows = ready.probes["uncertainty"].result(ready.strategy)["rows"]
    assert {row["sigma"] for row in rows if row["weights"] == "mean"} == {None}
    found = [r["sigma"] for r in rows if (r["moment"], r["weights"]) == ("after", "sampled")]
    for model, path in enumerate(bank.paths):
        sizes = [
            max(p.numel() for p in bank.blocks[block].parameters() if p.ndim > 1)
            for block in path[:-1]
        ]
        squares = [size * sigma[block] ** 2 for size, block in zip(sizes, path[:-1], strict=True)]
        # 32 draws of some hundred weights: 1 % of noise.
        assert found[model] == pytest.approx((sum(squares) / sum(sizes)) ** 0.5, rel=0.05), model


def test_a_posterior_is_recorded_without_being_asked_and_changes_nothing(make, tmp_path):
    record = execute(make(), tmp_path)
    assert record.status == "done", record.error
    assert [*record.probes] == ["uncertainty"]
    json.dumps(record.probes, allow_nan=False)
    named = execute(make(probes=["uncertainty"]), tmp_path)
    assert named.probes == record.probes
    assert named.accuracy_matrix == record.accuracy_matrix
    rows = record.probes["uncertainty"]["rows"]
    for row in rows:
        if row["weights"] == "mean":
            trained = row["model"] if row["moment"] == "before" else 2
            assert row["accuracy"] == record.accuracy_matrix[trained][row["model"]]


def test_a_strategy_without_a_posterior_has_its_weights_alone(make, tmp_path):
    assert execute(make("finetune"), tmp_path).probes == {}
    rows = execute(make("finetune", probes=["uncertainty"]), tmp_path).probes["uncertainty"]["rows"]
    assert {row["weights"] for row in rows} == {"mean"}
    assert [(r["model"], r["moment"]) for r in rows] == [
        *((m, "before") for m in range(3)),
        *((m, "after") for m in range(3)),
    ]


def test_models_that_are_trained_at_once_have_the_end_alone(make, tmp_path):
    rows = execute(make("joint", probes=["uncertainty"]), tmp_path).probes["uncertainty"]["rows"]
    assert [(row["model"], row["moment"]) for row in rows] == [(m, "after") for m in range(3)]


@pytest.mark.parametrize(
    ("strategy", "scenario"),
    [
        ("supsup", CLASSES),
        ("laplace", CLASSES | {"incremental": "class"}),
        ("laplace", CLASSES | {"network": "cnn"}),
        ("vcl", CLASSES),
        ("badam", CLASSES),
    ],
)
def test_it_works_with_every_kind_of_strategy_and_head(make, tmp_path, strategy, scenario):
    record = execute(make(strategy, {}, scenario, ["uncertainty"]), tmp_path)
    assert record.status == "done", record.error
    rows = record.probes["uncertainty"]["rows"]
    after = [r["accuracy"] for r in rows if (r["moment"], r["weights"]) == ("after", "mean")]
    assert after == record.accuracy_matrix[-1]


def test_what_has_no_classes_has_no_rows(make, tmp_path):
    ready = prepare(make(probes=["uncertainty"]), tmp_path)
    probe = ready.probes["uncertainty"]
    object.__setattr__(probe.subject.scenario, "loss", nn.MSELoss())
    assert "logits of classes" in probe.result(ready.strategy)["absent"]
