"""Merging: plain loops that train each model apart, and what is exact about merged weights."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from one_run import TWO_MODELS, execute, run_of, suite_of
from programs import (
    CLASSES,
    EVERY,
    FEATURES,
    THREE,
    TRUNK,
    Tape,
    double,
    evaluated,
    every,
    images,
    make_bank,
    make_cnn,
    make_data,
    make_ordinary,
    snapshot,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.suites.jobs import jobs_of
from palimpsest.strategies import OPCM, TIES, RunningAverage, TaskArithmetic
from palimpsest.strategies.opcm import projected
from palimpsest.strategies.ties import trimmed

KINDS = {
    "task_arithmetic": TaskArithmetic,
    "running_average": RunningAverage,
    "ties": TIES,
    "opcm": OPCM,
}


def trained_apart(bank, batches, optimizer, start):
    """Train each model by itself; return theta_0 and theta_t of what each model uses."""
    starts = snapshot(bank) if start == "initial" else {}
    found = []
    for i, recorded in enumerate(batches):
        model = copy.deepcopy(bank)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in starts:
                    parameter.copy_(starts[name])
        step = optimizer(model.parameters())
        for x, y in recorded:
            step.zero_grad()
            cross_entropy(avalanche_forward(model, x, i), y).backward()
            step.step()
        used = bank.parameters_of(i)
        found.append({name: value for name, value in snapshot(model).items() if name in used})
        starts = found[-1] | starts
    return starts, found


def slow_sum(_, vectors):
    return {name: 0.3 * sum(each) for name, each in vectors.items()}


def slow_mean(_, vectors):
    return {name: sum(each) / len(each) for name, each in vectors.items()}


def slow_ties(found, vectors):
    """By the paper's equations, an element at a time; all parameters are shared from model 2 on."""
    kept = {name: [torch.zeros_like(v) for v in each] for name, each in vectors.items()}
    for t in range(len(found)):
        sizes = sorted(v.abs() for each in vectors.values() for v in each[t].flatten())[::-1]
        least = sizes[round(0.2 * len(sizes)) - 1]
        for name, each in vectors.items():
            kept[name][t] = each[t] * (each[t].abs() >= least)
    merged = {}
    for name, each in kept.items():
        values = []
        for elements in zip(*[v.flatten().tolist() for v in each], strict=True):
            sign = (sum(elements) > 0) - (sum(elements) < 0)
            agree = [e for e in elements if (e > 0) - (e < 0) == sign] if sign else []
            values.append(sum(agree) / len(agree) if agree else 0.0)
        merged[name] = torch.tensor(values).view_as(each[0])
    return merged


def slow_opcm(found, vectors, alpha=0.5):
    """The published recursion, with all singular vectors and lambda."""
    norms = [math.sqrt(sum((each[t] ** 2).sum() for each in vectors.values())) for t in range(3)]
    merged, before = {name: each[0] for name, each in vectors.items()}, 1.0
    for t in (1, 2):
        mean, new = sum(norms[: t + 1]) / (t + 1), {}
        for name, d in merged.items():
            tau = vectors[name][t]
            if name.endswith("weight") and d.any():
                shape, d2, tau = d.shape, d.flatten(1), tau.flatten(1)
                u, s, vh = torch.linalg.svd(d2)
                ratio = s.cumsum(0) / s.sum()
                r = next(i for i, each in enumerate(ratio) if each > alpha)
                p = u.T @ tau @ vh.T
                p.diagonal().zero_()
                p[:r, :r] = 0
                tau = (u @ p @ vh).view(shape)
            new[name] = before * d + tau
        length = math.sqrt(sum((value**2).sum() for value in new.values()))
        merged = {name: value * mean / length for name, value in new.items()}
        before = length / mean
    return merged


SLOW = dict(zip(KINDS, (slow_sum, slow_mean, slow_ties, slow_opcm), strict=True))
NETWORKS = {
    "mlp": (lambda: make_bank(TRUNK, dtype=torch.float64), lambda: double(make_data(3))),
    "cnn": (make_cnn, lambda: double(images())),
}


def check_merged(plugin, trained, starts, found, slow):
    shared = [name for name in found[0] if name in found[1]]
    vectors = {name: [own[name] - starts[name] for own in found] for name in shared}
    merged = slow(found, vectors)
    for i, own in enumerate(found):
        values = evaluated(plugin, trained, i)
        for name, value in own.items():
            wanted = starts[name] + merged[name] if name in shared else value
            torch.testing.assert_close(values[name], wanted.double(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("start", ["first", "initial"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_are_those_of_a_plain_loop(kind, network, start):
    make, data = NETWORKS[network]
    bank, parts, optimizer = make(), data(), EVERY["momentum"]
    settings = {"scale": 0.3} if kind == "task_arithmetic" else {}
    plugin, tape = KINDS[kind](start=start, **settings), Tape()
    trained = train(bank, [plugin, tape], parts=parts, optimizer=optimizer, reset=False)
    starts, found = trained_apart(bank, tape.batches, optimizer, start)
    check_merged(plugin, trained, starts, found, SLOW[kind])


@every
def test_so_they_are_behind_every_optimizer_in_the_harness_in_a_pool(optimizer):
    bank, parts = make_bank(THREE, dtype=torch.float64), double(make_data(3))
    plugin, tape = TaskArithmetic(scale=0.3, start="initial"), Tape()
    trained = train(
        bank, [plugin, tape], parts=parts, optimizer=optimizer, reset=False, program="in_memory"
    )
    starts, found = trained_apart(bank, tape.batches, optimizer, "initial")
    uses = {name: [own[name] for own in found if name in own] for name in starts}
    for i, own in enumerate(found):
        values = evaluated(plugin, trained, i)
        for name in own:
            many = len(uses[name]) > 1
            vectors = sum(theta - starts[name] for theta in uses[name])
            wanted = starts[name] + 0.3 * vectors if many else uses[name][0]
            torch.testing.assert_close(values[name], wanted, rtol=1e-6, atol=1e-9)
    assert {len(each) for each in uses.values()} == {1, 2, 3}


@pytest.mark.parametrize("kind", ["task_arithmetic", "running_average"])
def test_from_the_merged_weights_on_a_task_vector_is_of_its_own_training(kind):
    bank, parts = make_bank(TRUNK, dtype=torch.float64), double(make_data(3))
    plugin, tape, begun = KINDS[kind](start="merged"), Tape(), []

    class Looks(SupervisedPlugin):
        def before_training_epoch(self, strategy, *_, **__):
            if len(begun) == strategy.experience.current_experience:
                begun.append(snapshot(strategy.model))

    trained = train(bank, [plugin, tape, Looks()], parts=parts)
    merged = None
    for i, recorded in enumerate(tape.batches):
        model = copy.deepcopy(bank)
        step = EVERY["sgd"](model.parameters())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if merged and name in merged:
                    parameter.copy_(merged[name])
        for x, y in recorded:
            step.zero_grad()
            cross_entropy(avalanche_forward(model, x, i), y).backward()
            step.step()
        own = {n: v for n, v in snapshot(model).items() if n.startswith("blocks.shared")}
        before = merged or own
        for name in own:
            torch.testing.assert_close(begun[i][name], merged[name] if i else begun[0][name])
        change = 0.3 if kind == "task_arithmetic" else 1 / (i + 1)
        merged = {name: before[name] + change * (own[name] - before[name]) for name in own}
    for name, value in evaluated(plugin, trained, 0).items():
        if name in merged:
            torch.testing.assert_close(value, merged[name], rtol=1e-6, atol=1e-9)


def test_the_model_in_training_is_left_as_it_is():
    seen, plugin = [], TaskArithmetic(scale=0.5)

    class Looks(SupervisedPlugin):
        def after_training_iteration(self, strategy, *_, **__):
            index, model = strategy.experience.current_experience, strategy.model
            seen.append((index, snapshot(model), [evaluated(plugin, model, i) for i in (0, 1)]))

    train(make_bank(), [plugin, Looks()])
    for index, stands, found in seen:
        assert all(torch.equal(found[index][name], value) for name, value in stands.items())
    second = [found[0] for index, _, found in seen if index == 1]
    for before, after in pairwise(second):  # and of the first, nothing moves meanwhile
        assert all(torch.equal(before[n], after[n]) for n in before if "shared" in n or ".a." in n)


def test_running_statistics_are_each_models_own():
    (x, y), (z, w) = make_data()
    net = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, CLASSES))
    states, plugin = [], RunningAverage(start="initial")

    def note(_, model):
        states.append({name: b.clone() for name, b in model.named_buffers()})

    trained = train(net, [plugin], parts=[(x, y), (z + 5, w)], after_each=note)
    for i, buffers in enumerate(states):
        with plugin.evaluating(trained, i):
            assert all(torch.equal(b, buffers[name]) for name, b in trained.named_buffers())
    assert int(states[1]["1.num_batches_tracked"]) == 8  # begun anew, not gone on with
    assert torch.equal(trained[1].running_mean, states[1]["1.running_mean"])


@pytest.mark.parametrize("start", ["first", "initial", "merged"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_heads_that_grow_have_no_vector_in_new_rows_of_earlier_models(kind, start, program):
    (x, y), (z, w) = make_data()
    parts = [(x, y % 2), (z, 2 + w % 2)]
    plugin, states = KINDS[kind](start=start), []
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, 1))
    note = {"after_each": lambda _, m: states.append(snapshot(m)), "program": program}
    trained = train(model, [plugin], parts=parts, **note)
    name = "2.classifier.weight"
    old, new = states[0][name], states[1][name]
    assert old.shape == (2, 8)
    assert new.shape == plugin.starts[name].shape == (CLASSES, 8)
    found = evaluated(plugin, trained, 0)[name]
    if start == "first":
        assert torch.equal(plugin.starts[name], torch.cat([old, new[2:]]))
        torch.testing.assert_close(found[2:], new[2:])
    assert found.isfinite().all()
    if kind == "running_average" and start != "merged":
        torch.testing.assert_close(found[:2], (old + new[:2]) / 2)


def test_models_of_other_shapes_are_refused_in_a_sentence():
    model, plugin = make_ordinary(), TaskArithmetic()

    class Shrinks(SupervisedPlugin):
        def after_training_exp(self, strategy, *_, **__):
            strategy.model[0] = nn.Linear(FEATURES, 5)
            strategy.model[2] = nn.Linear(5, CLASSES)

    with pytest.raises(ValueError, match=r"0\.weight has the shape \(5, 6\), and \(8, 6\) when"):
        train(model, [plugin, Shrinks()])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
def test_what_is_added_is_orthogonal_to_what_is_merged(alpha, shape):
    torch.manual_seed(0)
    merged, tau = torch.randn(2, *shape, dtype=torch.float64)
    left = projected(merged, tau, alpha)
    assert (merged * left).sum().abs() < 1e-10 * merged.norm() * tau.norm()
    u, s, vh = torch.linalg.svd(merged)
    along = u.T @ left @ vh.T
    assert along.diagonal().abs().max() < 1e-12
    share = s.cumsum(0) / s.sum()
    r = len(s) if alpha == 1 else int((share <= alpha).sum())  # clamped: all, not none
    assert along[:r, :r].abs().max() < 1e-12 if r else True
    if alpha == 0:  # nothing but the diagonal
        wanted = u.T @ tau @ vh.T
        wanted.diagonal().zero_()
        torch.testing.assert_close(along, wanted)


def test_directions_of_nothing_are_left_alone():
    torch.manual_seed(0)
    merged, tau = torch.randn(6, 1) @ torch.randn(1, 4), torch.randn(6, 4)
    left = projected(merged, tau, 1.0)
    assert torch.linalg.matrix_rank(tau - left, rtol=1e-5) == 1
    assert torch.equal(projected(torch.zeros(6, 4), tau, 1.0), tau)


@every
@pytest.mark.parametrize("start", ["first", "initial"])
def test_what_is_merged_is_as_long_as_a_task_vector_on_average(optimizer, start):
    lengths, plugin = [], OPCM(start=start)

    def note(i, model):
        values = evaluated(plugin, model, i)
        if i:
            moved = [values[n] - plugin.starts[n] for n in plugin.sums]
            lengths.append(torch.cat([m.flatten() for m in moved]).norm().item())
            norms = [math.sqrt(square) for square in plugin.squares.values()]
            assert lengths[-1] == pytest.approx(sum(norms) / (i + 1), rel=1e-5)
            assert (norms[0] == 0) == (start == "first")

    train(make_bank(TRUNK), [plugin], parts=make_data(3), optimizer=optimizer, after_each=note)
    assert len(lengths) == 2


def test_trimming_keeps_the_largest_of_all_tensors():
    vectors = {"a": torch.tensor([5.0, -1.0, 0.5]), "b": torch.tensor([[-4.0, 2.0]])}
    found = trimmed(vectors, 0.4)
    assert found["a"].tolist() == [5, 0, 0]
    assert found["b"].tolist() == [[-4, 0]]
    assert sum(int(v.count_nonzero()) for v in trimmed(vectors, 0.01).values()) == 1


@pytest.mark.parametrize(("start", "jobs"), [("first", 1), ("initial", 1), ("merged", 3)])
def test_scales_share_a_training_unless_it_begins_at_what_they_have_made(tmp_path, start, jobs):
    settings = {"scales": [0.1, 0.3, 1.0], "start": start}
    runs = suite_of(tmp_path, TWO_MODELS, "task_arithmetic", settings).runs("cpu", tmp_path)
    assert len(jobs_of(runs)) == jobs


@pytest.mark.parametrize("kind", ["task_arithmetic", "smile", "pic"])
def test_runs_measure_the_model_in_training_and_both_accuracies(tmp_path, kind):
    scenario = TWO_MODELS | {"steps": 20, "curve": {"every": 10}}
    settings = {"rank": 1} if kind == "smile" else {"scale": 0.5}
    run = run_of(tmp_path, scenario, kind, settings, probes=["unmerged", "refit"])
    record = execute(run, tmp_path)
    assert record.status == "done", record.error
    first, second = record.probes["unmerged"]["rows"]
    assert first["unmerged"] == first["merged"] == record.accuracy_matrix[0][0]
    assert second["unmerged"] == record.curves[1]["accuracy"][-1][-1]  # as training left it
    assert second["merged"] == record.accuracy_matrix[1][1]
    (refit,) = record.probes["refit"]["rows"]
    assert refit["before"] == record.accuracy_matrix[1][0]  # with merged weights
    assert record.cost["state_bytes"] > 0
    plain = execute(run_of(tmp_path, scenario, kind, settings), tmp_path)
    assert plain.accuracy_matrix == record.accuracy_matrix  # the probes have changed nothing
    assert plain.curves == record.curves


def test_what_merges_nothing_has_nothing_unmerged(tmp_path):
    scenario = TWO_MODELS | {"steps": 2, "curve": {"every": 0}}
    record = execute(run_of(tmp_path, scenario, probes=["unmerged"]), tmp_path)
    assert record.probes["unmerged"] == {"absent": "the strategy merges no weights"}
