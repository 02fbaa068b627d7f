"""A scenario of token sequences, with a loss and an accuracy of its own."""

import families
import pytest
import torch
from one_run import execute

from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.strategies import DER, EWC, SRIL, WPL, LwF, RWalk, WPLSchur
from palimpsest.strategies.base.catalogue import STRATEGIES

TOKENS = {
    "family": "tokens",
    "optimizer": {"name": "adam", "learning_rate": 0.02},
    "curve": {"every": 10},
    "steps": 60,
}


def test_models_learn_to_predict_tokens(make_runs, root):
    strategies = {"finetune": {}, "joint": {}, "l2": {"strengths": [10]}, "si": {}, "replay": {}}
    runs = make_runs(strategies, TOKENS)
    for run in runs:
        record = execute(run, root, root)
        assert record.error is None, run.strategy
        assert record.accuracy_matrix[-1][-1] > 0.6, run.strategy
    assert all(value < 0.4 for value in record.initial_accuracy)


def test_the_numbers_are_those_of_a_plain_loop(make_runs, root):
    (run,) = make_runs({"finetune": {}}, TOKENS | {"curve": {"every": 0}})
    matrix = execute(run, root).accuracy_matrix
    ready = prepare(run, root)
    bank, seeds = ready.scenario.model, ready.strategy._order_seeds
    for i, experience in enumerate(ready.scenario.train):
        x, y, _ = experience.dataset.tensors
        generator = torch.Generator().manual_seed(seeds[i])
        optimizer = torch.optim.Adam(bank.parameters(), lr=0.02)
        done = 0
        while done < 60:
            for chosen in torch.split(torch.randperm(len(x), generator=generator), 20)[: 60 - done]:
                optimizer.zero_grad()
                losses = []
                for logits, targets in zip(bank(x[chosen], i), y[chosen], strict=True):
                    for token, target in zip(logits, targets, strict=True):
                        if target != families.IGNORED:
                            losses.append(-token.log_softmax(dim=0)[target])
                torch.stack(losses).mean().backward()
                optimizer.step()
                done += 1
        for j, experience in enumerate(ready.scenario.test):
            x, y, _ = experience.dataset.tensors
            right = counted = 0
            with torch.no_grad():
                for logits, targets in zip(bank(x, j), y, strict=True):
                    for token, target in zip(logits, targets, strict=True):
                        counted += target.item() != families.IGNORED
                        right += token.argmax().item() == target.item()
            assert matrix[i][j] == pytest.approx(right / counted, abs=0.01)


@pytest.mark.parametrize("strategy", [EWC, WPL, WPLSchur, RWalk, LwF, DER, SRIL])
def test_methods_of_classifiers_refuse_another_loss(make_runs, root, strategy):
    (name,) = (n for n, entry in STRATEGIES.items() if entry is strategy)
    (run,) = make_runs({name: {}}, TOKENS)
    error = execute(run, root).error
    assert error.startswith(f"ValueError: {strategy.__name__} needs logits of shape")
    assert "this training's loss is token_loss" in error


def test_mas_asks_for_one_row_of_logits_per_sample(make_runs, root):
    (run,) = make_runs({"mas": {}}, TOKENS)
    assert "expected (1, classes)" in execute(run, root).error


def test_avalanches_strategies_train_by_the_scenarios_loss(make_runs, root):
    (run,) = make_runs({"avalanche:Naive": {}}, TOKENS)
    record = execute(run, root)
    assert record.error is None
    assert record.accuracy_matrix[-1][-1] > 0.6


def test_private_parts_are_refitted_by_the_scenarios_loss(make_runs, root):
    (run,) = make_runs({"finetune": {}}, TOKENS, probes=["refit"])
    record = execute(run, root)
    (row,) = record.probes["refit"]["rows"]
    assert row["before"] == pytest.approx(record.accuracy_matrix[-1][0])
    assert row["after"] >= row["before"] - 0.05
