"""Hooks of strategies: the harness and a plain Avalanche program do the same with them."""

import copy

import methods
import pytest
import torch
from at_length import at_length
from avalanche.benchmarks import (
    benchmark_from_datasets,
    class_incremental_benchmark,
    with_classes_timeline,
    with_task_labels,
)
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.models import IncrementalClassifier
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised import Naive
from one_run import execute
from torch import nn
from torch.utils.data import TensorDataset

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.cost import state_bytes
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.training.evaluation import AccuracyMeter, evaluate
from palimpsest.benchmark.training.optimizers import EachOptimizer, make_optimizer
from palimpsest.benchmark.training.template import silent_evaluator
from palimpsest.strategies import L2, Independent
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.hooks import Hooked

SCENARIO = {
    "family": "model_sequence",
    "models": 3,
    "hidden_layers": 2,
    "pool": 2,
    "width": 12,
    "epochs": 2,
    "steps": None,
    "batch_size": 25,
    "samples": 200,
    "change": "permuted",
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}
LOADER = {"num_workers": 0, "pin_memory": False}


def by_avalanche(run, root, plugin):
    """The same training in an ordinary program: its accuracy matrix and its model."""
    ready = prepare(run, root)  # for its data and its bank; nothing of it trains
    settings, scenario = ready.settings, ready.scenario
    train = stream(scenario.train, lambda i, n: shuffled(run, i, n, settings.epochs))
    test = stream(scenario.test, lambda i, n: torch.arange(n))
    meter = AccuracyMeter()
    strategy = Naive(
        model=scenario.model,
        optimizer=make_optimizer(settings.optimizer, scenario.model),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=settings.batch_size,
        train_epochs=1,
        eval_mb_size=512,
        plugins=[plugin, meter],
        evaluator=silent_evaluator(),
    )
    matrix = []
    for experience in train:
        strategy.train(
            experience, eval_streams=[], reset_optimizer_state=True, shuffle=False, **LOADER
        )
        strategy.eval(test, **LOADER)
        matrix.append(meter.accuracies)
    return matrix, scenario.model


def stream(experiences, order):
    datasets = []
    for i, experience in enumerate(experiences):
        x, y, task = experience.dataset.tensors
        chosen = order(i, len(x))
        datasets.append(InMemoryDataset.of(x[chosen], y[chosen], task))
    made = with_task_labels(with_classes_timeline(benchmark_from_datasets(all=datasets)))
    return list(made.streams["all"])


def shuffled(run, model, count, epochs):
    """The samples in the order in which the harness draws them, pass after pass."""
    generator = torch.Generator().manual_seed(derive(run.seed, "order", model))
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(epochs)])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mask", {}),
        ("adapter", {"rank": 3}),
        ("sign", {"rate": 0.01}),
        ("merge", {"scale": 0.7}),
        ("independent", {}),
        ("finetune", {}),
    ],
)
def test_a_plain_avalanche_program_gets_the_numbers_of_the_harness(make_runs, root, name, settings):
    scenario = SCENARIO | {"validation": 0.0}  # 200 samples: every pass has whole batches
    (run,) = make_runs({name: settings}, scenario)
    record = execute(run, root)
    assert record.error is None
    seed = {"seed": derive(run.seed, "importance")}
    own = settings | (seed if name in {"mask", "adapter"} else {})
    matrix, _ = by_avalanche(run, root, STRATEGIES[name](**own))
    assert record.accuracy_matrix == matrix
    assert len(set(map(tuple, matrix))) == 3


def test_a_mask_forgets_nothing_and_moves_no_weight(make_runs, root):
    (run,) = make_runs({"mask": {}}, SCENARIO | {"epochs": 20, "width": 60})
    ready = prepare(run, root)
    before = copy.deepcopy(dict(ready.scenario.model.named_parameters()))
    record = execute(run, root)
    matrix = record.accuracy_matrix
    for j in range(3):
        assert matrix[j][j] > 0.4
        assert [row[j] for row in matrix[j:]] == [matrix[j][j]] * (3 - j)
    _, model = by_avalanche(run, root, methods.Mask(seed=derive(run.seed, "importance")))
    now = {name.replace(".layer.", "."): p for name, p in model.named_parameters()}
    assert all(torch.equal(now[name], value) for name, value in before.items())


def test_the_scenarios_optimizers_stay_out_of_a_strategys_own(make_runs, root):
    two = {"family": "two_models", "data": "digits", "steps": 5, "width": 8, "curve": {"every": 0}}
    own = {"second_optimizer": {"name": "sgd", "learning_rate": 0.5}, "warmup": 2}
    kept = {"optimizer_state": "kept"}
    results = []
    for more in (own, kept | {"warmup": 2}, {"warmup": 2}):
        (run,) = make_runs({"sign": {}}, two | more)
        ready = prepare(run, root)
        assert not any(isinstance(plugin, EachOptimizer) for plugin in ready.strategy.plugins)
        record = execute(run, root)
        assert record.error is None
        results.append(record.accuracy_matrix)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", at_length(["mask", "adapter", "sign"], ["adapter", "sign"]))
def test_a_strategy_that_trains_in_its_own_way_shares_no_first_model(
    make_runs, root, tmp_path, name
):
    runs = make_runs({"finetune": {}, name: {}, "ewc": {"samples": 20}}, SCENARIO)
    alone = [execute(run, root) for run in runs]
    for order in (runs, runs[::-1]):
        scratch = tmp_path / order[0].strategy
        scratch.mkdir()
        together = {run.strategy: execute(run, root, scratch) for run in order}
        for record in alone:
            found = together[record.strategy]
            assert found.accuracy_matrix == record.accuracy_matrix
            assert found.curves == record.curves
        assert len(list(scratch.glob("*.first"))) == 1


def test_merged_weights_share_the_first_model(make_runs, root, tmp_path):
    first, second = make_runs({"finetune": {}, "merge": {}}, SCENARIO)
    execute(first, root, tmp_path)
    shared = execute(second, root, tmp_path)
    assert shared.cost["steps"][0] is None
    assert shared.accuracy_matrix == execute(second, root).accuracy_matrix


def test_what_is_added_to_the_model_is_the_strategys_state(make_runs, root):
    mask, fine = make_runs({"mask": {}, "finetune": {}}, SCENARIO)
    ready = prepare(mask, root)
    weights = sum(p.numel() for p in ready.scenario.model.parameters() if p.ndim == 2)
    assert execute(mask, root).cost["state_bytes"] == 3 * 4 * weights
    assert execute(fine, root).cost["state_bytes"] == 0


def test_what_an_optimizer_knows_is_counted_where_the_strategy_keeps_it():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()

    class Keeps(SupervisedPlugin):
        kept = None

    plugin = Keeps()
    plugin.kept = optimizer
    assert state_bytes(plugin, model) == 4 * 8


def grown(plugins):
    """A program of two experiences with two classes each, and a head that grows."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 6), torch.arange(40) % 4
    samples = TensorDataset(x, y)
    samples.targets = y.tolist()
    whole = as_classification_dataset(samples)
    streams = class_incremental_benchmark({"train": whole, "test": whole}, num_experiences=2)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), IncrementalClassifier(5, 2))
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train_mb_size=10,
        eval_mb_size=40,
        plugins=plugins,
        evaluator=silent_evaluator(),
    )
    return strategy, list(streams.train_stream), list(streams.test_stream)


def test_a_model_is_adapted_after_it_grew_and_before_its_optimizer_is_made():
    seen = []

    class Watches(Hooked):
        def adapt(self, model, index):
            classes = model[2].classifier.out_features
            seen.append((index, classes, strategy.is_training))
            if not hasattr(model, "extra"):
                model.extra = nn.Parameter(torch.zeros(3))

        def before_training_exp(self, strategy, *arguments, **keywords):
            super().before_training_exp(strategy, *arguments, **keywords)
            known = {id(p) for g in strategy.optimizer.param_groups for p in g["params"]}
            assert known >= {id(p) for p in strategy.model.parameters()}

    strategy, train, test = grown([Watches()])
    sizes = [max(e.classes_in_this_experience) + 1 for e in train]
    strategy.eval(test[:1], **LOADER)  # before anything is trained: the model as it was built
    assert seen == []
    strategy.train(train[0], eval_streams=[], **LOADER)
    assert seen == [(0, max(2, sizes[0]), True)]
    strategy.eval(test, **LOADER)  # classes of the second experience may be new
    again = [(1, max(sizes), False)] if max(sizes) > max(2, sizes[0]) else []
    assert seen[1:] == again
    strategy.train(train[1], eval_streams=[], **LOADER)
    assert seen[1 + len(again) :] == [(1, max(2, *sizes), True)]


class Doubles(Hooked):
    """Evaluates with doubled weights."""

    def __init__(self):
        super().__init__()
        self.inside = 0

    def evaluating(self, model, index):
        return self._doubled(model)

    def _doubled(self, model):
        from contextlib import contextmanager

        @contextmanager
        def context():
            self.inside += 1
            scale(model, 2.0)
            try:
                yield
            finally:
                scale(model, 0.5)
                self.inside -= 1

        return context()


@torch.no_grad()
def scale(model, factor):
    for parameter in model.parameters():
        parameter *= factor


class Stumbles(SupervisedPlugin):
    def __init__(self):
        super().__init__()
        self.on = True

    def after_eval_forward(self, strategy, *_, **__):
        if self.on:
            raise ArithmeticError("stumbled")


def test_the_harness_leaves_an_evaluation_that_raised_at_once():
    plugin = Doubles()
    strategy, train, test = grown([plugin, AccuracyMeter(), Stumbles()])
    strategy.train(train[0], eval_streams=[], **LOADER)
    strategy.model.train()
    before = copy.deepcopy(strategy.model.state_dict())
    with pytest.raises(ArithmeticError):
        evaluate(strategy, test[:1])
    assert plugin.inside == 0
    assert strategy.model.training
    assert all(torch.equal(before[n], v) for n, v in strategy.model.state_dict().items())


def test_elsewhere_the_next_training_or_evaluation_leaves_it():
    for again in ("train", "eval"):
        plugin, stumbles = Doubles(), Stumbles()
        strategy, train, test = grown([plugin, stumbles])
        with pytest.raises(ArithmeticError):
            strategy.eval(test[:1], **LOADER)
        assert plugin.inside == 1
        stumbles.on = False
        if again == "train":
            strategy.train(train[0], eval_streams=[], **LOADER)
        else:
            strategy.eval(test[:1], **LOADER)
        assert plugin.inside == 0


def test_hooks_go_before_another_base():
    class Both(Doubles, L2):
        def __init__(self):
            Hooked.__init__(self, strength=3.0)
            self.inside = 0

    plugin = Both()
    strategy, train, _ = grown([plugin])
    strategy.train(train[0], eval_streams=[], **LOADER)
    assert plugin.settings.strength == 3.0
    assert plugin.anchors


def test_curves_and_probes_see_a_model_as_it_is_evaluated(make_runs, root):
    scenario = SCENARIO | {"curve": {"every": 5, "samples": None}, "epochs": 2}
    (run,) = make_runs({"merge": {}}, scenario, probes=["similarity"])
    record = execute(run, root)
    for i, curve in enumerate(record.curves[1:], start=1):
        # While model i trains, the others are evaluated as they are merged so far.
        for j in range(i):
            assert set(curve["accuracy"][j][:-1]) == {record.accuracy_matrix[i - 1][j]}
        assert [values[-1] for values in curve["accuracy"]] == record.accuracy_matrix[i][: i + 1]
    assert record.probes["similarity"]["rows"]


def test_strategies_without_hooks_are_asked_nothing():
    from palimpsest.strategies import EWC, SI, Finetune

    assert not any(issubclass(plugin, Hooked) for plugin in (EWC, SI, Finetune, L2))
    assert issubclass(Independent, Hooked)
