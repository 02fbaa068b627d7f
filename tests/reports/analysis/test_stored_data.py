"""The caveat about strategies that store data."""

import pytest

from reports.analysis.caveats import caveats
from reports.runs.cells import group


def found(record, *kinds):
    matrix = [[0.9, 0.1], [0.5, 0.8]]
    made = [record(matrix, strategy=kind, seed=seed) for kind in kinds for seed in range(5)]
    return [text for text in caveats(group(made), [], []) if "samples of earlier models" in text]


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
