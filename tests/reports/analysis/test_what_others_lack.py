"""Caveats about strategies that have what others do not: stored data, or the model's name."""

from dataclasses import replace

import pytest

from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.runs.cells import group


def found(record, *kinds, said="samples of earlier models", **settings):
    matrix = [[0.9, 0.1], [0.5, 0.8]]
    own = {"scenario_settings": settings} if settings else {}
    made = [record(matrix, strategy=kind, seed=seed, **own) for kind in kinds for seed in range(5)]
    return [text for text in caveats(group(made), [], []) if said in text]


@pytest.mark.parametrize("kind", ["replay", "der", "avalanche:Replay", "avalanche:GEM"])
def test_a_strategy_that_stores_data_is_named(record, kind):
    (text,) = found(record, "finetune", kind)
    assert text == (
        f"same: {kind} stores samples of earlier models and trains on them again, which the others "
        "do not: a reference for what such data are worth, not a better penalty."
    )


def test_several_are_named_together(record):
    (text,) = found(record, "replay", "wpl", "der")
    assert text.startswith("same: der, replay store samples of earlier models and train on them")


def test_the_others_are_not(record):
    assert not found(record, "finetune", "wpl", "lwf", "joint", "avalanche:EWC", "avalanche:LwF")


@pytest.mark.parametrize("kind", ["n_step_kl", "td_vcl"])
@pytest.mark.parametrize(("memory", "count"), [(0, 0), (200, 1)])
def test_a_posterior_with_a_memory_stores_data(record, kind, memory, count):
    settings, matrix = {"memory": memory}, [[0.9, 0.1], [0.5, 0.8]]
    made = [record(matrix, strategy=kind, settings=settings, seed=seed) for seed in range(5)]
    texts = [text for text in caveats(group(made), [], []) if "samples of earlier models" in text]
    assert len(texts) == count


@pytest.mark.parametrize("kind", ["supsup", "ssnet", "exssnet", "independent"])
@pytest.mark.parametrize("incremental", ["class", "domain", "task"])
def test_a_strategy_that_is_told_the_model_is_named_where_it_is_to_be_found_out(
    record, kind, incremental
):
    texts = found(record, "finetune", kind, said="is told which", incremental=incremental)
    if incremental == "task":
        assert not texts
    else:
        (text,) = texts
        assert text.startswith(f"same: {kind} is told which experience a sample is from")


@pytest.mark.parametrize("kind", ["supsup", "exssnet"])
def test_a_strategy_that_infers_the_model_is_not(record, kind):
    matrix = [[0.9, 0.1], [0.5, 0.8]]
    for infer, count in (("one_shot", 0), ("binary", 0), ("none", 1), ("given", 1)):
        own = {"strategy": kind, "settings": {"infer": infer}}
        own["scenario_settings"] = {"incremental": "domain"}
        made = [record(matrix, seed=seed, **own) for seed in range(5)]
        texts = [text for text in caveats(group(made), [], []) if "is told which" in text]
        assert len(texts) == count


@pytest.mark.parametrize(("layers", "incremental", "count"), [
    (5, "domain", 1), (5, "task", 0), (None, "domain", 0),
])  # fmt: skip
def test_what_merges_weights_has_statistics_of_each_model(record, layers, incremental, count):
    cost = {"shared_statistics": layers} if layers else {}
    own = {"strategy": "ties", "scenario_settings": {"incremental": incremental}}
    matrix = [[0.9, 0.1], [0.5, 0.8]]
    made = [replace(record(matrix, seed=seed, **own), cost=cost) for seed in range(5)]
    texts = [text for text in caveats(group(made), [], []) if "ties is told which" in text]
    assert len(texts) == count
