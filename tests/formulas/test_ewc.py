"""EWC against one quadratic a model, each with its own Fisher information and anchor."""

import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from programs import (
    THREE,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    make_ordinary,
    make_program,
    replay,
    same,
    slow_fisher,
    snapshot,
    train,
)

from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.strategies import EWC, WPL

INITIAL = {"bank": lambda: make_bank(THREE), "ordinary": make_ordinary}


def every_quadratic(quadratics, parts, bank):
    """Append the Fisher information and the anchor of every model that is trained."""

    def after_model(i, model, used):
        fisher = slow_fisher(model, list(used), *parts[i], label=i if bank else 0)
        for name, importance in fisher.items():
            quadratics.terms[name].append((importance, used[name].detach().clone()))

    return after_model


@pytest.mark.parametrize("kind", INITIAL)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_per_model_equals_one_penalty_for_each_earlier_model(kind, optimizer):
    parts, tape, initial = make_data(3), Tape(), INITIAL[kind]()
    plugin = EWC(strength=30.0, application="gradient")
    trained = train(
        initial, [plugin, tape], parts=parts, optimizer=optimizer, program="in_memory", epochs=3
    )
    quadratics = Quadratics(30.0)
    expected = replay(
        initial,
        tape.batches,
        optimizer=optimizer,
        extra_loss=quadratics.loss,
        after_model=every_quadratic(quadratics, parts, kind == "bank"),
    )
    assert_close(trained, expected, rtol=1e-5, atol=1e-5)
    assert distance(trained, replay(initial, tape.batches, optimizer=optimizer)) > 1e-3


def test_merged_importances_are_the_sum_over_models():
    parts, bank = make_data(3), make_bank(THREE)
    plugin, states = EWC(strength=5.0), []
    trained = train(
        bank,
        [plugin],
        parts=parts,
        program="in_memory",
        after_each=lambda i, m: states.append(
            (slow_fisher(m, list(bank.parameters_of(i)), *parts[i], label=i), snapshot(m))
        ),
    )
    for name in dict(trained.named_parameters()):
        used = [(f[name], state[name]) for f, state in states if name in f]
        total = sum(f for f, _ in used)
        torch.testing.assert_close(plugin.importances[name], total, rtol=1e-4, atol=1e-8)
        weighted = sum(f * anchor for f, anchor in used)
        torch.testing.assert_close(
            plugin.anchors[name] * total, weighted, rtol=1e-4, atol=1e-7, msg=name
        )


class Recording(EWC):
    """Keeps every Fisher information that was estimated."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.estimates = []

    def estimate(self, strategy, parameters):
        self.estimates.append(super().estimate(strategy, parameters))
        return {name: value.clone() for name, value in self.estimates[-1].items()}


def test_online_form_decays_the_old_sum_and_moves_the_anchor():
    bank, states = make_bank(THREE), []
    plugin = Recording(strength=5.0, form="online", decay=0.7)
    train(
        bank,
        [plugin],
        parts=make_data(3),
        program="in_memory",
        after_each=lambda _, m: states.append(snapshot(m)),
    )
    first, second, third = plugin.estimates
    y = "blocks.y.0.weight"  # used by all models
    torch.testing.assert_close(plugin.importances[y], 0.7 * (0.7 * first[y] + second[y]) + third[y])
    assert torch.equal(plugin.anchors[y], states[2][y])
    x = "blocks.x.0.weight"  # not used by the second: one decay only
    torch.testing.assert_close(plugin.importances[x], 0.7 * first[x] + third[x])
    z = "blocks.z.0.weight"  # used by the second only: keeps sum and anchor
    assert torch.equal(plugin.importances[z], second[z])
    assert torch.equal(plugin.anchors[z], states[1][z])


def test_online_and_per_model_are_the_same_for_two_models():
    one = train(make_ordinary(), [EWC(strength=50.0)], program="in_memory")
    two = train(make_ordinary(), [EWC(strength=50.0, form="online")], program="in_memory")
    assert same(one, two)


@pytest.mark.parametrize("fisher", ["exact", "monte_carlo", "empirical"])
@pytest.mark.parametrize("application", ["proximal", "gradient"])
@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_two_models_make_ewc_and_wpl_the_same_computation(fisher, application, program):
    common = {"strength": 40.0, "fisher": fisher, "application": application, "samples": 30}
    ewc = train(make_bank(), [EWC(**common)], program=program)
    wpl = train(make_bank(), [WPL(**common)], program=program)
    assert same(ewc, wpl)
    assert not same(ewc, train(make_bank(), program=program))


@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_samples_of_a_mixed_experience_count_for_their_own_model(program):
    (x, y), (z, w) = make_data()
    mixed = InMemoryDataset.of(
        torch.cat([x, z]), torch.cat([y, w]), torch.tensor([0] * len(x) + [1] * len(z))
    )
    made = with_classes_timeline(benchmark_from_datasets(train=[mixed]))
    (experience,) = with_task_labels(made).streams["train"]
    bank, plugin = make_bank(), EWC()
    optimizer = torch.optim.SGD(bank.parameters(), lr=0.1)
    strategy = make_program(program, bank, optimizer, [plugin], count=1)
    strategy.train(experience, eval_streams=[])
    own = (
        slow_fisher(bank, list(bank.parameters_of(i)), *part, label=i)
        for i, part in enumerate([(x, y), (z, w)])
    )
    for fisher in own:
        for name, importance in fisher.items():
            if "shared" not in name:  # half of the samples are the other model's
                torch.testing.assert_close(
                    plugin.importances[name], importance / 2, rtol=1e-4, atol=1e-7, msg=name
                )
