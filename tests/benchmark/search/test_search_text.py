"""Searches in text: the state goes on from batch to batch, and disturbs nothing else."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from one_run import execute
from torch.nn import functional

from palimpsest.benchmark.data.formats.text import load
from palimpsest.benchmark.randomness.generators import seed_generators
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.runs.runner import _train
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.training.evaluation import LOADER, evaluate

COLUMNS, LENGTH = 4, 5
RATE = 1.0


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Words that follow one another by a rule, with some noise."""
    folder = tmp_path_factory.mktemp("text")
    generator = np.random.default_rng(0)
    for split, lines in (("train", 60), ("valid", 30), ("test", 20)):
        words = generator.integers(7, size=lines * 6)
        words[1::2] = (words[::2] + 1) % 7
        rows = [" ".join(f"w{word}" for word in line) for line in words.reshape(lines, 6)]
        (folder / f"{split}.txt").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def make_run(text):
    def make(strategy="finetune", settings=None, without=(), **changes):
        none = {"embedding": 0.0, "input": 0.0, "output": 0.0, "weights": 0.0}
        supernet = {"name": "recurrent_cell", "nodes": 2, "hidden": 6, "dropout": none}
        scenario = {
            "family": "architecture_search",
            "data": f"text:{text}",
            "supernet": supernet,
            "batch_size": COLUMNS,
            "length": LENGTH,
            "epochs": 2,
            "visits": 4,
            "batches": 4,
            "measured": 2,
            "measured_samples": 2 * COLUMNS,
            "ranked": 3,
            "optimizer": {"name": "sgd", "learning_rate": RATE},
        } | changes
        scenario = {name: value for name, value in scenario.items() if name not in without}
        suite = {
            "suite": "text",
            "seeds": 1,
            "scenarios": {"it": scenario},
            "strategies": {strategy: settings or {}},
        }
        (run,) = load_suite(suite).runs("cpu", Path("/nowhere"))
        return run

    return make


def streams(words):
    """A text as parallel columns (COLUMNS, T), by hand."""
    count = (len(words) - 1) // (COLUMNS * LENGTH)
    used = COLUMNS * count * LENGTH
    columns = [words[start : start + used // COLUMNS] for start in range(0, used, used // COLUMNS)]
    after = [
        words[1 + start : 1 + start + used // COLUMNS] for start in range(0, used, used // COLUMNS)
    ]
    return torch.stack(columns).long(), torch.stack(after).long(), count


def prepared(run):
    """A run whose initial weights are so large that the state matters."""
    ready = prepare(run, Path("/nowhere"))
    with torch.no_grad():
        for parameter in ready.scenario.model.parameters():
            parameter *= 20
    return ready


def test_training_goes_on_from_batch_to_batch_and_from_visit_to_visit(make_run, text):
    run = make_run()
    ready = prepared(run)
    for number in range(len(ready.schedule.visits)):
        _train(ready, number, None)
    ours = ready.scenario.model.supernet(0).state_dict()
    x, y, count = streams(load(text, None).train)
    assert count == 20  # less than the 32 batches of the search: the text begins anew

    def loop(carried):
        fresh = prepared(run).scenario.model.supernet(0).train()
        optimizer = torch.optim.SGD(fresh.parameters(), lr=RATE)
        batches = itertools.count()
        for epoch in range(2):
            generator = np.random.default_rng(derive(0, "scenario", 1 + epoch))
            drawn = [tuple(generator.integers(fresh.space.options).tolist()) for _ in range(4)]
            for architecture, _ in itertools.product(drawn, range(4)):
                batch = next(batches) % count
                part = slice(batch * LENGTH, (batch + 1) * LENGTH)
                fresh.begin = fresh.end if batch and carried else None
                optimizer.zero_grad()
                outputs = fresh(x[:, part], architecture)
                functional.cross_entropy(outputs.flatten(0, 1), y[:, part].flatten()).backward()
                optimizer.step()
        return fresh.state_dict()

    def furthest(carried):
        return max((ours[name] - value).abs().max() for name, value in loop(carried).items())

    assert furthest(carried=True) < 1e-6
    assert furthest(carried=False) > 1e-3


def test_an_evaluation_is_that_of_one_long_sequence(make_run, text):
    """Layer normalisation: batch normalisation has the statistics of each time step."""
    run = make_run(
        supernet={"name": "recurrent_cell", "nodes": 2, "hidden": 6, "normalisation": "layer"}
    )
    ready = prepared(run)
    _train(ready, 0, None)
    bank, measuring = ready.scenario.model, ready.probes["search"]
    x, y, count = streams(load(text, None).valid)
    assert count == 10
    for stream, end in ((ready.scenario.curve_data, 2), (ready.scenario.validation, count)):
        (found,) = measuring._errors(ready.strategy, [1], stream)
        supernet = bank.supernet(1).eval()
        with torch.no_grad():
            outputs = supernet(x[:, : end * LENGTH], bank.architectures[1])
        losses = functional.cross_entropy(outputs.flatten(0, 1), y[:, : end * LENGTH].flatten())
        assert found == pytest.approx(math.exp(losses), rel=1e-6)
        without = [
            functional.cross_entropy(
                supernet(x[:, part], bank.architectures[1]).flatten(0, 1), y[:, part].flatten()
            ).item()
            for part in (slice(k * LENGTH, (k + 1) * LENGTH) for k in range(end))
        ]
        assert found != pytest.approx(math.exp(np.mean(without)), rel=1e-6)


def test_an_evaluation_disturbs_no_training(make_run):
    run = make_run()
    plain, watched = (prepared(run) for _ in range(2))

    class Watching:
        def after_training_iteration(self, strategy, *_, **__):
            evaluate(strategy, watched.scenario.test[:2], **LOADER)

    watched.strategy.plugins.append(Watching())
    for ready in (plain, watched):
        for number in range(3):
            _train(ready, number, None)
    assert plain.scenario.model.supernet(0).begin is None
    one, other = (each.scenario.model.state_dict() for each in (plain, watched))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("changes", [{}, {"sampler": {"name": "controller", "steps": 4}}])
def test_what_is_measured_is_a_perplexity(make_run, changes):
    record = execute(make_run(**changes), Path("/nowhere"))
    assert record.error is None
    found = record.probes["search"]
    assert found["perplexity"] is True
    assert len(found["ranking"]) == 3
    assert len(found["rows"]) == 4
    values = [row[name] for row in found["rows"] for name in ("before", "after", "end")]
    assert all(1 < value < 9 for value in values)
    assert record.metrics["visited_error_perplexity"] > 1
    assert record.metrics["visited_error"] is None
    assert record.metrics["average_accuracy"] is not None
    if changes:
        assert len(found["rewards"]) == 8
        assert all(80 / 9 < reward < 80 for reward in found["rewards"])


def test_alone_the_text_begins_anew_for_every_architecture(make_run, text):
    alone = {"shared": False, "steps": 3, "architectures": [[0, 0, 1], [2, 0, 3]]}
    names = ["epochs", "visits", "batches", "measured", "ranked"]
    run = make_run(**alone, without=names)
    ready = prepared(run)
    for number in range(2):
        _train(ready, number, None)
    x, y, _ = streams(load(text, None).train)
    for slot, architecture in enumerate([(0, 0, 1), (2, 0, 3)]):
        fresh = prepared(run).scenario.model.supernet(slot)
        optimizer = torch.optim.SGD(fresh.parameters(), lr=RATE)
        seed_generators(derive(0, "global", 1))
        for batch in range(3):
            part = slice(batch * LENGTH, (batch + 1) * LENGTH)
            optimizer.zero_grad()
            outputs = fresh(x[:, part], architecture)
            functional.cross_entropy(outputs.flatten(0, 1), y[:, part].flatten()).backward()
            optimizer.step()
            fresh.begin = fresh.end
        ours = ready.scenario.model.supernet(slot).state_dict()
        for name, value in fresh.state_dict().items():
            torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=0)


@pytest.mark.thorough
def test_text_goes_on_after_a_kill_in_the_middle_of_a_visit(monkeypatch, tmp_path, make_run):
    import palimpsest.benchmark.runs.checkpoints.training as training
    from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
    from palimpsest.benchmark.runs.runner import execute_job

    run = make_run(warm_start=1)
    (expected,) = execute_job((run,), tmp_path)
    save, kept = training.save, CheckpointSettings(tmp_path / "kept", 3, 60.0)
    kills = 0
    for _ in range(60):
        left = 2

        def save_and_die(*arguments):
            nonlocal left
            save(*arguments)
            left -= 1
            if not left:
                raise KeyboardInterrupt

        monkeypatch.setattr(training, "save", save_and_die)
        try:
            (found,) = execute_job((run,), tmp_path, None, lambda advance: None, kept)
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills > 5
    assert found.probes == expected.probes
    assert found.moments == expected.moments
