"""A search against loops written by hand."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from one_run import execute
from torch.nn import functional

from palimpsest.benchmark.randomness.generators import seed_generators
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.runs.runner import _train
from palimpsest.benchmark.search.plan import spread

ROOT = Path("/nowhere")
RATE, MOMENTUM = 0.2, 0.9


def trained(run):
    """A run after all its trainings."""
    ready = prepare(run, ROOT)
    for measurement in ready.measurements:
        measurement.before(ready.strategy, ready.schedule)
    for number in range(len(ready.schedule.visits)):
        _train(ready, number, None)
        for measurement in ready.measurements:
            measurement.after(ready.strategy, ready.schedule, number)
    return ready


class Loop:
    """What a search does, without Avalanche: one supernet, one optimizer, one order of batches."""

    def __init__(self, run, batch=20):
        ready = prepare(run, ROOT)
        self.net = ready.scenario.model.supernet(0)
        self.options = self.net.space.options
        x, y, _ = ready.scenario.train[0].dataset.samples
        self.x, self.y = x[:], y
        self.held_out = ready.scenario.curve_data[0].dataset.tensors[:2]
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=RATE, momentum=MOMENTUM)
        self.data = self.batches(batch)
        self.visit = 0

    def batches(self, size):
        for number in itertools.count():
            generator = torch.Generator().manual_seed(derive(0, "order", number))
            order = torch.randperm(len(self.x), generator=generator)
            yield from torch.split(order, size)

    def step(self, architectures):
        self.optimizer.zero_grad()
        chosen = next(self.data)
        for architecture in architectures:
            outputs = self.net(self.x[chosen], architecture)
            functional.cross_entropy(outputs, self.y[chosen]).backward()
        self.optimizer.step()

    def train(self, steps):
        """Train in a visit: the architectures of each step."""
        self.net.train()
        seed_generators(derive(0, "global", 2 * self.visit + 1))
        self.visit += 1
        for architectures in steps:
            self.step(architectures)

    @torch.no_grad()
    def error(self, architecture):
        self.net.eval()
        x, y = self.held_out
        return (self.net(x, architecture).argmax(1) != y).double().mean().item()


def generator_of(epoch):
    return np.random.default_rng(derive(0, "scenario", 1 + epoch))


def draw(generator, options):
    return tuple(generator.integers(options).tolist())


def same(ready, net):
    ours = ready.scenario.model.supernet(0).state_dict()
    return all(torch.equal(value, ours[name]) for name, value in net.state_dict().items())


def test_uniform_visits_are_those_of_a_plain_loop(make_runs):
    (run,) = make_runs()
    ready = trained(run)
    loop, rows = Loop(run), []
    for epoch in range(2):
        generator = generator_of(epoch)
        drawn = [draw(generator, loop.options) for _ in range(4)]
        errors = []
        for architecture in drawn:
            before = loop.error(architecture)
            loop.train([[architecture]] * 3)
            errors.append((before, loop.error(architecture)))
        for visit, (architecture, pair) in enumerate(zip(drawn, errors, strict=True)):
            name = "-".join(map(str, architecture))
            rows.append([epoch, visit, name, *pair, loop.error(architecture)])
    assert same(ready, loop.net)
    found = ready.probes["search"].rows
    names = ("epoch", "visit", "architecture", "before", "after", "end")
    assert [[row[name] for name in names] for row in found] == [pytest.approx(r) for r in rows]
    assert len({row[2] for row in rows}) > 3  # different architectures, else nothing was asked
    assert {row[3] for row in rows} != {row[4] for row in rows}


def test_the_learning_rate_falls_from_epoch_to_epoch(make_runs):
    (run,) = make_runs(learning_rate_decay=0.5, decay_after=1, epochs=4, warm_start=1, visits=1)
    ready = prepare(run, ROOT)
    rates = []

    class Rates:
        def after_update(self, strategy, *_, **__):
            rates.append(strategy.optimizer.param_groups[0]["lr"])

    ready.strategy.plugins.append(Rates())
    for number in range(5):
        _train(ready, number, None)
    shares = [1] * 3 + [share for share in (1, 1, 0.5, 0.25) for _ in range(3)]
    assert rates == pytest.approx([RATE * share for share in shares])


def test_the_data_go_on_from_visit_to_visit_and_from_pass_to_pass(make_runs):
    """117 samples are 6 batches, the last of 17; the search takes 24."""
    (run,) = make_runs()
    loop = Loop(run)
    assert len(loop.x) == 117
    sizes = [len(next(loop.data)) for _ in range(12)]
    assert sizes == [20, 20, 20, 20, 20, 17] * 2


def test_a_single_path_is_a_visit_for_every_batch(make_runs):
    (run,) = make_runs(sampler="single_path", visits=7, without=["batches"])
    ready = trained(run)
    assert [visit.steps for visit in ready.schedule.visits] == [1] * 14
    loop = Loop(run)
    for epoch in range(2):
        generator = generator_of(epoch)
        for architecture in [draw(generator, loop.options) for _ in range(7)]:
            loop.train([[architecture]])
    assert same(ready, loop.net)


def test_fair_sampling_sums_the_gradients_of_every_option(make_runs):
    (run,) = make_runs(sampler="fair", without=["batches"])
    loop = Loop(run)
    loop.net.dropout.p = 0.0
    ready = prepare(run, ROOT)
    ready.scenario.model.supernet(0).dropout.p = 0.0
    for number in range(len(ready.schedule.visits)):
        _train(ready, number, None)
    for epoch in range(2):
        generator = generator_of(epoch)
        groups = []
        for _ in range(4):
            orders = [generator.permutation(3).tolist() for _ in loop.options]
            groups.append([tuple(order[j] for order in orders) for j in range(3)])
        for group in groups:
            for decision in range(2):
                assert sorted(a[decision] for a in group) == [0, 1, 2]
            loop.train([group])
    ours = ready.scenario.model.supernet(0).state_dict()
    for name, value in loop.net.state_dict().items():
        torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=0)
    assert len(ready.probes["search"].rows) == 2 * 4 * 3


@pytest.mark.parametrize("strategy", [{"freeze": {}}, {"l2": {"strengths": [1000]}}])
def test_a_warm_start_is_the_same_for_every_strategy(make_runs, strategy):
    plain, other = make_runs({"finetune": {}} | strategy, warm_start=1)
    loop = Loop(plain)
    generator = generator_of(0)
    loop.train([[draw(generator, loop.options)] for _ in range(12)])
    for run in (plain, other):
        ready = prepare(run, ROOT)
        _train(ready, 0, None)
        assert same(ready, loop.net)
        _train(ready, 1, None)
    generator = generator_of(1)
    loop.train([[draw(generator, loop.options)]] * 3)
    ready = trained(plain)
    again = trained(other)
    assert not same(again, ready.scenario.model.supernet(0))
    assert {row["epoch"] for row in ready.probes["search"].rows} == {0, 1}


def test_after_a_warm_start_visits_go_on_with_the_next_batch(make_runs):
    (run,) = make_runs(warm_start=1)
    ready = prepare(run, ROOT)
    for number in (0, 1):
        _train(ready, number, None)
    loop = Loop(run)
    generator = generator_of(0)
    loop.train([[draw(generator, loop.options)] for _ in range(12)])
    loop.train([[draw(generator_of(1), loop.options)]] * 3)
    assert same(ready, loop.net)


def test_alone_every_architecture_is_trained_as_if_it_were_the_only_one(make_runs):
    settings = {"shared": False, "steps": 7, "without": ["epochs", "visits", "batches"]}
    (run,) = make_runs(**settings)
    record = execute(run, ROOT)
    assert record.error is None
    ranking = record.probes["search"]["ranking"]
    assert len(ranking) == 9
    for row in ranking:
        architecture = tuple(map(int, row["architecture"].split("-")))
        loop = Loop(run)
        loop.train([[architecture]] * 7)
        (measured,) = (
            each
            for each in record.probes["search"]["rows"]
            if each["architecture"] == row["architecture"]
        )
        assert measured["after"] == measured["end"] == pytest.approx(loop.error(architecture))
    chosen = [[2, 1], [0, 2]]
    (few,) = make_runs(**settings, architectures=chosen)
    some = execute(few, ROOT).probes["search"]["ranking"]
    assert some == [next(r for r in ranking if r["architecture"] == n) for n in ("2-1", "0-2")]


def test_some_visits_are_measured_and_the_rest_share_a_slot(make_runs):
    (all_of_them,) = make_runs(visits=5)
    (run,) = make_runs(visits=5, measured=2)
    record, other = execute(run, ROOT), execute(all_of_them, ROOT)
    assert len(record.initial_accuracy) == 3
    rows, every = record.probes["search"]["rows"], other.probes["search"]["rows"]
    assert rows == [row for row in every if row["visit"] in spread(2, 5)]
    assert spread(2, 5) == (1, 3)
    assert spread(None, 3) == spread(9, 3) == (0, 1, 2)
    assert record.probes["search"]["ranking"] == other.probes["search"]["ranking"]


def test_a_ranking_measures_every_architecture_at_the_end_and_changes_nothing(make_runs):
    (run,) = make_runs(measured=2)
    ready = trained(run)
    bank = ready.scenario.model
    before = list(bank.architectures)
    ranking = ready.probes["search"].result(ready.strategy)["ranking"]
    assert bank.architectures == before
    assert [row["architecture"] for row in ranking] == [
        f"{a}-{b}" for a, b in itertools.product(range(3), repeat=2)
    ]
    bank.eval()
    for row in ranking:
        architecture = tuple(map(int, row["architecture"].split("-")))
        for name in ("validation", "test"):
            x, y, _ = getattr(ready.scenario, name)[0].dataset.tensors
            with torch.no_grad():
                wrong = (bank.run(x, architecture).argmax(1) != y).double().mean().item()
            assert row[name] == pytest.approx(wrong)
    (few,) = make_runs(ranked=4)
    (others,) = make_runs(ranked=4, epochs=1)
    first, second = (execute(each, ROOT).probes["search"]["ranking"] for each in (few, others))
    assert len(first) == 4
    assert [r["architecture"] for r in first] == [r["architecture"] for r in second]
