"""The plugins of a run act in the order that is written in one place."""

import random
from pathlib import Path

import pytest
from one_run import TWO_MODELS, run_of

from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.training.order import OF_AVALANCHE, ORDER, UNDER_TEST, in_order, rank_of

NAMES = [name for name, _ in ORDER]
SETTINGS = {
    "augment": {"crop": 1},
    "warmup": 2,
    "learning_rate_schedule": "cosine",
    "optimizer_state": "kept",
    "clip_gradient": 1.0,
    "target_accuracy": 0.5,
    "steps": 5,
}
SEARCH = {
    "family": "architecture_search",
    "data": "digits",
    "epochs": 1,
    "visits": 2,
    "learning_rate_decay": 0.5,
}
RUNS = {
    "all settings": (
        TWO_MODELS | SETTINGS,
        "wpl",
        {"strengths": [1.0]},
        f"StepClock, Augmentation, EachOptimizer, ClipGradient, {UNDER_TEST}, AccuracyMeter, "
        f"TrainingMonitor, Warmup, LearningRates, StopAtTarget, CurveRecorder, {OF_AVALANCHE}, "
        "Costs, Probe",
    ),
    "a penalty that is clipped, too": (
        TWO_MODELS | {"clip_gradient": 1.0, "curve": {"every": 0}, "steps": 5},
        "wpl_official",
        {"strengths": [1.0], "clipped": "together", "protect": "all"},
        f"StepClock, {UNDER_TEST}, ClipPenalisedGradient, AccuracyMeter, "
        f"TrainingMonitor, {OF_AVALANCHE}, Costs, Probe",
    ),
    "a class of Avalanche's": (
        TWO_MODELS | {"clip_gradient": 1.0, "steps": 5},
        "avalanche:EWC",
        {"arguments": {"ewc_lambda": 1.0}},
        "StepClock, ClipGradient, AccuracyMeter, TrainingMonitor, CurveRecorder, StepLimit, "
        f"{OF_AVALANCHE}, Costs, Probe",
    ),
    "a search": (
        SEARCH,
        "finetune",
        {},
        f"StepClock, Sampling, EpochDecay, EachOptimizer, {UNDER_TEST}, AccuracyMeter, "
        f"TrainingMonitor, {OF_AVALANCHE}, Costs, Probe",
    ),
}


@pytest.mark.parametrize("case", RUNS)
def test_the_plugins_of_a_run_follow_the_list(case, tmp_path):
    scenario, strategy, settings, expected = RUNS[case]
    ready = prepare(run_of(tmp_path, scenario, strategy, settings, probes=["distance"]), tmp_path)
    plugins = ready.strategy.plugins
    ranks = [rank_of(plugin, ready.plugin) for plugin in plugins]
    assert ranks == sorted(ranks)
    assert ", ".join(NAMES[rank] for rank in sorted({*ranks})) == expected
    mixed = random.Random(0).sample(plugins, len(plugins))
    found = in_order(mixed, ready.plugin)
    assert [rank_of(plugin, ready.plugin) for plugin in found] == ranks


def test_every_name_of_the_list_is_a_class():
    files = (Path(__file__).parents[3] / "benchmark").rglob("*.py")
    text = "".join(path.read_text() for path in files)
    assert not [
        name
        for name in NAMES
        if name not in {UNDER_TEST, OF_AVALANCHE}
        and f"class {name}(" not in text
        and f"class {name}:" not in text
    ]
