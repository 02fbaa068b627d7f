"""Learning without forgetting against a plain loop, Avalanche's own, and its promises."""

import copy
from itertools import pairwise

import pytest
import torch
from avalanche.models import IncrementalClassifier, MTSimpleMLP
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import LwFPlugin
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    THREE,
    Tape,
    assert_close,
    distance,
    every_program,
    make_bank,
    make_data,
    make_ordinary,
    same,
    train,
    used_and_moved,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies import LwF

STRENGTH, TEMPERATURE = 5.0, 1.5


def with_modes(paths=(("shared", "a"), ("shared", "b"))):
    """Return a bank whose models have batch norm and dropout, shared and private."""
    torch.manual_seed(0)

    def head():
        return nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, CLASSES))

    blocks = {path[-1]: head() for path in paths}
    blocks["shared"] = nn.Sequential(
        nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, 8), nn.Tanh(), nn.Dropout(0.3)
    )
    return ModelBank(blocks, paths, CLASSES)


def replay_by_hand(model, batches, labels, optimizer, balance="sum", outputs="earlier", mean=False):
    """Train a copy of a model by the definition, sample by sample; return the copy."""
    model, classes = copy.deepcopy(model), {}
    for i, recorded in enumerate(batches):
        before, step = copy.deepcopy(model).eval(), OPTIMIZERS[optimizer](model.parameters())
        torch.manual_seed(100 + i)
        for x, y in recorded:
            step.zero_grad()
            loss = cross_entropy(avalanche_forward(model.train(), x, labels[i]), y)
            model.eval()
            weight = STRENGTH
            if balance == "experiences":
                loss = loss / (i + 1)
                weight = STRENGTH * i / (i + 1) / max(1, len(classes))
            for label, known in classes.items():
                now = {int(c) for _, targets in recorded for c in targets if label == labels[i]}
                for sample in x:
                    old = avalanche_forward(before, sample[None], label)[0].detach()
                    new = avalanche_forward(model, sample[None], label)[0]
                    everything = set(range(len(new)))
                    in_q = everything if outputs == "all" else known
                    in_p = {"earlier": known, "seen": known | now, "all": everything}[outputs]
                    q, p = (old / TEMPERATURE).exp(), (new / TEMPERATURE).exp()
                    q, p = ({c: v[c] / sum(v[k] for k in of) for c in of}
                            for v, of in ((q, in_q), (p, in_p)))  # fmt: skip
                    share = 1 / len(p) if mean else 1
                    loss = loss - share * weight / len(x) * sum(q[c] * p[c].log() for c in q)
            model.train()
            loss.backward()
            step.step()
        seen = {int(c) for _, y in recorded for c in y}
        classes.setdefault(labels[i], set()).update(seen)
    return model


def two_classes_each(models=2):
    return [(x, y % 2 + 2 * (i % 2)) for i, (x, y) in enumerate(make_data(models))]


CASES = {
    "bank": (make_bank, make_data(2), [0, 1]),
    "three models": (lambda: make_bank(THREE), make_data(3), [0, 1, 2]),
    "batch norm and dropout": (with_modes, make_data(2), [0, 1]),
    "one head": (make_ordinary, make_data(2), [0, 0]),
    "one head, new classes": (make_ordinary, two_classes_each(), [0, 0]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_trains_as_the_definition_says(case, optimizer):
    make, parts, labels = CASES[case]
    tape, plugin = Tape(), LwF(strength=STRENGTH, temperature=TEMPERATURE)
    options = {"parts": parts, "labels": labels, "program": "in_memory", "optimizer": optimizer}
    trained = train(make(), [plugin, tape], **options)
    assert_close(trained, replay_by_hand(make(), tape.batches, labels, optimizer), 1e-4, 1e-5)
    assert distance(trained, train(make(), **options)) > 1e-3


@pytest.mark.parametrize("outputs", ["seen", "all"])
@pytest.mark.parametrize("balance", ["sum", "experiences"])
@pytest.mark.parametrize("case", ["three models", "one head, new classes"])
def test_balances_and_compares_outputs_as_the_definition_says(case, balance, outputs):
    make, parts, labels = CASES[case]
    tape = Tape()
    plugin = LwF(strength=STRENGTH, temperature=TEMPERATURE, balance=balance, outputs=outputs)
    options = {"parts": parts, "labels": labels, "program": "in_memory", "optimizer": "momentum"}
    trained = train(make(), [plugin, tape], **options)
    by_hand = replay_by_hand(make(), tape.batches, labels, "momentum", balance, outputs)
    assert_close(trained, by_hand, 1e-4, 1e-5)
    plain = train(make(), [LwF(strength=STRENGTH, temperature=TEMPERATURE)], **options)
    same_by_nature = case == "three models" and balance == "sum"  # all its classes are earlier ones
    assert same(trained, plain) == same_by_nature


@pytest.mark.parametrize("outputs", ["earlier", "seen"])
def test_the_mean_over_classes_divides_by_the_outputs_compared(outputs):
    """As in the program of Three scenarios for continual learning, until May 2019."""
    make, parts, labels = CASES["one head, new classes"]
    tape, options = Tape(), {"parts": parts, "labels": labels, "program": "in_memory"}
    settings = {"balance": "experiences", "outputs": outputs, "over_classes": "mean"}
    plugin = LwF(strength=STRENGTH, temperature=TEMPERATURE, **settings)
    trained = train(make(), [plugin, tape], optimizer="momentum", **options)
    by_hand = replay_by_hand(
        make(), tape.batches, labels, "momentum", "experiences", outputs, mean=True
    )
    assert_close(trained, by_hand, 1e-4, 1e-5)


@pytest.mark.parametrize("case", ["bank", "three models", "one head", "one head, new classes"])
def test_without_batch_norm_and_dropout_it_is_what_avalanche_ships(case):
    make, parts, labels = CASES[case]
    theirs = train(make(), [LwFPlugin(STRENGTH, TEMPERATURE)], parts=parts, labels=labels)
    plugin = LwF(strength=STRENGTH, temperature=TEMPERATURE)
    assert_close(train(make(), [plugin], parts=parts, labels=labels), theirs, 1e-4, 1e-5)


@every_program
def test_earlier_private_parameters_are_trained_along_and_later_ones_are_not(program):
    (first, second, third), moved = used_and_moved(LwF(), program)
    assert moved == [first | second, first | second | third]


@every_program
def test_running_statistics_are_those_of_the_models_own_training(program):
    def states(*plugins):
        kept = []
        train(
            with_modes(),
            plugins,
            program=program,
            after_each=lambda _, m: kept.append(copy.deepcopy(m.state_dict())),
        )
        return kept

    (first, second), plain = states(LwF()), states()
    own = [n for n in first if n.startswith("blocks.a.0.running") or "blocks.a.0.num" in n]
    of_inputs = [n for n in first if "blocks.shared.0.running" in n or "shared.0.num" in n]
    assert len(own) == len(of_inputs) == 3
    assert all(torch.equal(first[name], second[name]) for name in own)
    assert all(torch.equal(second[name], plain[1][name]) for name in of_inputs)
    assert not torch.equal(first["blocks.a.0.weight"], second["blocks.a.0.weight"])


def test_a_grown_head_keeps_its_old_outputs_and_frees_the_new():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, 2))
    kept = []
    trained = train(
        model,
        [LwF(strength=50.0)],
        parts=two_classes_each(),
        epochs=10,
        after_each=lambda _, m: kept.append(copy.deepcopy(m)),
    )
    x = make_data()[1][0]
    with torch.no_grad():
        old, new = (m(x)[:, :2].softmax(dim=1) for m in kept)
        assert (trained(x).argmax(dim=1) >= 2).double().mean() > 0.9
    assert (old - new).abs().mean() < 0.05


def test_works_with_the_multi_head_models_of_avalanche():
    model, kept = MTSimpleMLP(input_size=FEATURES, hidden_size=8), []

    def keep(_, trained):
        with torch.no_grad():  # evaluated as a copy, because the model has dropout
            logits = copy.deepcopy(trained).eval()(make_data()[1][0], 0)
            kept.append(logits[:, :CLASSES].softmax(dim=1))

    def change(plugins):
        kept.clear()
        train(model, plugins, labels=[0, 1], after_each=keep, epochs=30)
        return (kept[0] - kept[1]).abs().mean().item()

    assert change([LwF(strength=20.0)]) < change([]) / 2


class Counted(nn.Linear):
    """A layer that counts how often any of its copies was called."""

    calls = 0

    def forward(self, x):
        Counted.calls += 1
        return super().forward(x)


def test_a_step_runs_a_shared_trunk_three_times_whatever_the_number_of_heads():
    heads = {name: nn.Linear(8, CLASSES) for name in "abcd"}
    model = ModelBank(
        {"trunk": Counted(FEATURES, 8)} | heads, [("trunk", name) for name in heads], CLASSES
    )
    calls = []
    Counted.calls = 0
    train(model, [LwF()], parts=make_data(4), after_each=lambda *_: calls.append(Counted.calls))
    steps = calls[0]
    assert [after - before for before, after in pairwise(calls)] == [3 * steps] * 3
