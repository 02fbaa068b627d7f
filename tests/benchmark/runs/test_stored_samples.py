"""Strategies that store samples, in every family, and with all that controls a training."""

from pathlib import Path

import pytest
import torch
from at_length import at_length
from one_run import execute

from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.suites.loading import load_suite

SEAMS = Path(__file__).parents[2] / "seams"
SMALL = {"data": "digits", "samples": 120, "steps": 6, "batch_size": 8, "width": 8}
NETWORK = {"name": "reduced_resnet18", "arguments": {"width": 2}}
FAMILIES = {
    "split by task": {"family": "split", "experiences": 5, "incremental": "task"},
    "split by class": {"family": "split", "experiences": 5, "incremental": "class"},
    "split by domain": {"family": "split", "experiences": 5, "incremental": "domain"},
    "permuted": {"family": "permuted", "experiences": 2},
    "rotated": {"family": "rotated", "experiences": 2},
    "permuted by class": {"family": "permuted", "experiences": 2, "incremental": "class"},
    "two models": {"family": "two_models", "second_data": "rotated", "rotation": 45.0},
    "model sequence": {"family": "model_sequence", "models": 3},
    "visits": {"family": "space", "rounds": 1, "steps": 2},
    **{
        f"{kind} statistics": {
            "family": "split",
            "experiences": 5,
            "incremental": "task",
            "width": None,
            "steps": 3,
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "network": NETWORK | {"batch_norm": kind},
        }
        for kind in ("shared", "per_model", "frozen")
    },
    "controlled": {
        "family": "two_models",
        "second_data": "rotated",
        "optimizer_state": "kept",
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "second_optimizer": {"name": "adam", "weight_decay": {"shared": 0.1}},
        "clip_gradient": 1.0,
        "label_smoothing": 0.1,
        "precision": "bfloat16",
        "learning_rate_schedule": {"name": "cosine"},
        "augment": {"crop": 1, "jitter": {"brightness": 0.2}},
    },
}


@pytest.fixture(scope="module")
def make_runs(registries):
    def make(scenario, memories, **settings):
        suite = {
            "suite": "s",
            "seeds": 1,
            "scenarios": {"it": {k: v for k, v in (SMALL | scenario).items() if v is not None}},
            "strategies": {
                "finetune": {},
                "replay": {"memories": memories, "memory_batch": 6},
                "der": {"memories": memories, "memory_batch": 6},
            },
        }
        return load_suite(suite).runs("cpu", Path("/nowhere"))

    with registries():
        load_files([SEAMS / "families.py"])
        yield make


def numbers(record):
    assert record.status == "done", record.error
    return record.accuracy_matrix, record.curves, record.moments


def weights_after(run):
    """Return the weights and the strategy after all trainings."""
    ready = prepare(run, Path("/nowhere"))
    for number, visit in enumerate(ready.schedule.visits):
        place = {"visit": number} if ready.schedule.order == "visits" else {}
        ready.strategy.train(ready.scenario.train[visit.models[0]], **place, **TRAINING)
    return ready.scenario.model.state_dict(), ready.plugin


LONG = {"shared statistics", "frozen statistics", "per_model statistics"}


@pytest.mark.parametrize("family", at_length(FAMILIES, LONG))
def test_without_memory_it_is_fine_tuning_and_with_one_it_is_not(make_runs, family):
    plain, *stored = make_runs(FAMILIES[family], [0, 20])
    expected, _ = weights_after(plain)
    for run in stored:
        found, plugin = weights_after(run)
        assert all(value.isfinite().all() for value in found.values())
        assert all(torch.equal(found[n], expected[n]) for n in found) == (run.strength == 0)
        assert len(plugin.memory) == run.strength


@pytest.mark.parametrize("family", ["model sequence", "controlled"])
def test_a_run_is_repeated_bit_for_bit_and_counts_what_it_stores(make_runs, family):
    for run in make_runs(FAMILIES[family], [20])[1:]:
        record, again = (execute(run, Path("/nowhere")) for _ in range(2))
        assert numbers(record) == numbers(again)
        sample = 64 + 2 * 4 + 8 + 8  # bytes of 8x8 pixels, their scale, target, label
        logits = 10 * 4 if run.strategy == "der" else 0
        assert record.cost["state_bytes"] == 20 * (sample + logits)
