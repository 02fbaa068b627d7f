"""The in-memory template trains bit for bit as Avalanche's own; its plugins do what they say."""

import copy

import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised import JointTraining, Naive
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.settings.optimizers import SGD, Adam, RMSprop
from palimpsest.benchmark.scenarios.settings.scenario import Curve
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.training.clock import StepClock
from palimpsest.benchmark.training.control import (
    DivergedError,
    StepLimit,
    StopAtTarget,
    TrainingMonitor,
    Warmup,
)
from palimpsest.benchmark.training.evaluation import AccuracyMeter, CurveRecorder, evaluate
from palimpsest.benchmark.training.optimizers import make_optimizer
from palimpsest.benchmark.training.template import InMemoryTraining, silent_evaluator
from palimpsest.strategies import EWC, SI, WPL, Freeze, Independent

FEATURES, CLASSES, SAMPLES, BATCH = 6, 4, 43, 10

OPTIMIZERS = {
    "sgd": SGD(learning_rate=0.1),
    "momentum": SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": SGD(learning_rate=0.05, momentum=0.9, nesterov=True),
    "adam": Adam(learning_rate=0.02, weight_decay=0.01),
    "adamw": Adam(name="adamw", learning_rate=0.02, weight_decay=0.01),
    "rmsprop": RMSprop(learning_rate=0.01),
    "rmsprop_momentum": RMSprop(learning_rate=0.01, momentum=0.5, centered=True, weight_decay=0.01),
}

PLAIN = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, foreach=False),
    "momentum": lambda p: torch.optim.SGD(
        p, lr=0.05, momentum=0.9, weight_decay=0.01, foreach=False
    ),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, foreach=False),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.01, foreach=False),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.01, foreach=False),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, foreach=False),
    "rmsprop_momentum": lambda p: torch.optim.RMSprop(
        p, lr=0.01, momentum=0.5, centered=True, weight_decay=0.01, foreach=False
    ),
}


def make_model(seed=0):
    torch.manual_seed(seed)
    blocks = {
        "shared": nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Tanh()),
        "a": nn.Linear(8, CLASSES),
        "b": nn.Linear(8, CLASSES),
    }
    return ModelBank(blocks, [("shared", "a"), ("shared", "b")], CLASSES)


@pytest.fixture
def streams():
    generator = torch.Generator().manual_seed(1)

    def part(task, count):
        x = torch.randn(count, FEATURES, generator=generator)
        y = torch.randint(CLASSES, (count,), generator=generator)
        y[:CLASSES] = torch.arange(CLASSES)
        return InMemoryDataset.of(x, y, task)

    made = benchmark_from_datasets(
        train=[part(0, SAMPLES), part(1, SAMPLES)], test=[part(0, 20), part(1, 20)]
    )
    return with_task_labels(with_classes_timeline(made)).streams


def in_memory(model, plugins=(), steps=(12, 12), optimizer=None):
    return InMemoryTraining(
        model=model,
        optimizer=optimizer or torch.optim.SGD(model.parameters(), lr=0.1),
        batch_size=BATCH,
        steps=steps,
        order_seeds=[5, 6],
        device="cpu",
        plugins=plugins,
    )


def stock(model, plugins=(), optimizer=None, epochs=1):
    return Naive(
        model=model,
        optimizer=optimizer or torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        train_epochs=epochs,
        eval_mb_size=100,
        plugins=list(plugins),
        evaluator=silent_evaluator,
    )


def train(strategy, experiences, **options):
    for experience in experiences:
        strategy.train(experience, eval_streams=[], **({"reset_optimizer_state": True} | options))
    return strategy.model


def same(a, b):
    a, b = (m.state_dict() if isinstance(m, nn.Module) else m for m in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Tape(SupervisedPlugin):
    """Records batches (or, given some, puts them in place of a stock loader's)."""

    def __init__(self, recorded=None):
        super().__init__()
        self.batches = []
        self.recorded = recorded

    def before_training_exp(self, strategy, *_, **__):
        if self.recorded:
            strategy.dataloader = self.recorded[strategy.experience.current_experience]
        self.batches.append([])

    def before_forward(self, strategy, *_, **__):
        task = torch.full((len(strategy.mb_y),), strategy.experience.task_label)
        self.batches[-1].append([strategy.mb_x.clone(), strategy.mb_y.clone(), task])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "plugin", [None, EWC, SI, WPL, Freeze, Independent], ids=lambda p: p.__name__ if p else "none"
)
def test_trains_as_stock_avalanche_does_on_the_same_batches(streams, optimizer, plugin):
    ours, theirs, tape = make_model(), make_model(), Tape()
    ours_plugins, theirs_plugins = ([plugin()] if plugin else [] for _ in range(2))
    fast = in_memory(
        ours, [*ours_plugins, tape], optimizer=make_optimizer(OPTIMIZERS[optimizer], ours)
    )
    train(fast, streams["train"])
    slow = stock(
        theirs,
        [*theirs_plugins, Tape(tape.batches)],
        optimizer=PLAIN[optimizer](theirs.parameters()),
    )
    train(slow, streams["train"])
    assert same(ours, theirs)
    assert not same(ours, make_model())


def test_trains_as_stock_avalanche_with_its_own_loader(streams, monkeypatch):
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))
    passes = -(-SAMPLES // BATCH)
    ours = train(in_memory(make_model(), steps=[passes, passes]), streams["train"])
    theirs = train(stock(make_model()), streams["train"], shuffle=False, num_workers=0)
    assert same(ours, theirs)


class Diary(SupervisedPlugin):
    """Notes every event."""

    def __init__(self):
        super().__init__()
        self.events = []


def _note(event):
    def method(self, strategy, *_, **__):
        self.events.append(event)

    return method


for _event in [n for n in dir(SupervisedPlugin) if n.startswith(("before_", "after_"))]:
    setattr(Diary, _event, _note(_event))


def test_plugins_hear_the_same_events_in_the_same_order_as_in_stock_avalanche(streams):
    ours, theirs = Diary(), Diary()
    passes = -(-SAMPLES // BATCH)
    fast = in_memory(make_model(), [ours], steps=[passes, passes])
    slow = stock(make_model(), [theirs])
    for strategy in (fast, slow):
        train(strategy, streams["train"])
        strategy.eval(streams["test"])
    assert ours.events == theirs.events


def test_the_optimizer_starts_afresh_where_it_is_told_to(streams):
    def second(reset):
        model, batches = make_model(), Tape()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        strategy = in_memory(model, [batches], optimizer=optimizer)
        strategy.train(streams["train"][0], eval_streams=[], reset_optimizer_state=True)
        if reset == "new":
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
            strategy = in_memory(model, optimizer=optimizer)
        strategy.train(
            streams["train"][1], eval_streams=[], reset_optimizer_state=reset is not False
        )
        return model

    assert same(second(True), second("new"))
    assert not same(second(True), second(False))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_is_torchs_bit_for_bit(name):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(50, 33), nn.Tanh(), nn.Linear(33, 7))
    theirs = copy.deepcopy(ours)
    optimizers = make_optimizer(OPTIMIZERS[name], ours), PLAIN[name](theirs.parameters())
    x, y = torch.randn(16, 50), torch.randint(7, (16,))
    for _ in range(30):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert same(ours, theirs)


class Waits(TorchDispatchMode):
    """Counts how often the program waits for a number that a device has computed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in {
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.equal.default,
        }
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("plugin", [None, EWC, SI, WPL, Freeze, Independent])
def test_a_step_waits_for_no_number(streams, plugin):
    def waits(steps):
        plugins = [plugin()] if plugin else []
        watch = TrainingMonitor(lambda fraction: None)
        strategy = in_memory(make_model(), [*plugins, watch], steps=[steps, steps])
        with Waits() as counter:
            train(strategy, streams["train"])
        return counter.count

    assert waits(4) == waits(40)


# Evaluation


def test_evaluation_is_the_share_of_right_answers(streams):
    model = make_model()
    strategy = in_memory(model, [AccuracyMeter()])
    train(strategy, streams["train"])
    expected = []
    model.eval()
    for i, experience in enumerate(streams["test"]):
        x, y, _ = experience.dataset.tensors
        right = sum(
            int(model(sample[None], i).argmax()) == int(t) for sample, t in zip(x, y, strict=True)
        )
        expected.append(right / len(y))
    assert evaluate(strategy, streams["test"]) == expected


@pytest.mark.parametrize("make", [in_memory, stock])
def test_evaluation_leaves_modes_weights_and_random_numbers_alone(streams, make):
    model = make_model()
    strategy = make(model, [AccuracyMeter()])
    train(strategy, streams["train"], num_workers=0)
    model.train()
    model.blocks["shared"].eval()
    modes = [module.training for module in model.modules()]
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    evaluate(strategy, streams["test"])
    assert same(before, model.state_dict())
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Curve(every=5), [0, 5, 10, 12]),
        (Curve(every=5, first=3), [0, 1, 2, 3, 5, 10, 12]),
        (Curve(every=100, first=2), [0, 1, 2, 12]),
        (Curve(every=6), [0, 6, 12]),
        (Curve(every=1), list(range(13))),
    ],
)
def test_curves_are_measured_on_schedule(streams, schedule, expected):
    recorder = CurveRecorder(schedule, streams["test"])
    strategy = in_memory(make_model(), [AccuracyMeter(), recorder])
    train(strategy, streams["train"])
    assert [curve["model"] for curve in recorder.curves] == [0, 1]
    for curve in recorder.curves:
        assert curve["steps"] == expected
        assert len(curve["accuracy"]) == curve["model"] + 1
        assert all(len(values) == len(expected) for values in curve["accuracy"])


def test_a_model_stops_at_its_target_and_the_next_one_trains_on(streams):
    tape = Tape()
    targets = StopAtTarget([0.2, None], streams["test"])
    strategy = in_memory(make_model(), [AccuracyMeter(), tape, targets], steps=[100, 12])
    train(strategy, streams["train"])
    assert 1 <= len(tape.batches[0]) < 100
    assert evaluate(strategy, streams["test"])
    assert len(tape.batches[1]) == 12


def test_a_target_out_of_reach_trains_all_steps(streams):
    tape = Tape()
    targets = StopAtTarget([1.1, None], streams["test"])
    train(in_memory(make_model(), [AccuracyMeter(), tape, targets]), streams["train"])
    assert [len(batches) for batches in tape.batches] == [12, 12]


# Warm-up, watch, step limit


class Rates(SupervisedPlugin):
    def __init__(self):
        super().__init__()
        self.rates = []

    def after_update(self, strategy, *_, **__):
        self.rates.append([group["lr"] for group in strategy.optimizer.param_groups])


def test_warm_up_raises_every_groups_learning_rate_linearly_for_every_model(streams):
    model, rates = make_model(), Rates()
    parameters = list(model.parameters())
    groups = [{"params": parameters[:3], "lr": 0.4}, {"params": parameters[3:], "lr": 0.04}]
    strategy = in_memory(model, [Warmup([4, 4]), rates], [6, 6], torch.optim.SGD(groups, lr=1.0))
    train(strategy, streams["train"])
    factors = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0] * 2
    for place, full in enumerate((0.4, 0.04)):
        group = [both[place] for both in rates.rates]
        assert group == pytest.approx([full * factor for factor in factors])


def test_warm_up_of_one_step_changes_nothing(streams):
    warmed = train(in_memory(make_model(), [Warmup([1, 1])]), streams["train"])
    assert same(warmed, train(in_memory(make_model()), streams["train"]))


class Poison(SupervisedPlugin):
    """Makes something not a number at one step of the second model."""

    def __init__(self, what, step):
        super().__init__()
        self.what, self.step, self.done = what, step, 0

    def before_backward(self, strategy, *_, **__):
        self.done += strategy.experience.current_experience
        if self.done == self.step and self.what == "loss":
            strategy.loss = strategy.loss * float("nan")

    @torch.no_grad()
    def after_update(self, strategy, *_, **__):
        if self.done == self.step and self.what == "parameter":
            strategy.model.blocks["a"].weight[0, 0] = float("inf")


def test_a_loss_that_is_not_finite_ends_the_run_with_its_step_and_model(streams):
    watch = TrainingMonitor(lambda _: None, every=5)
    strategy = in_memory(make_model(), [Poison("loss", 7), watch])
    with pytest.raises(DivergedError, match="step 10 of model 2"):
        train(strategy, streams["train"])


def test_a_parameter_that_is_not_finite_ends_the_run_with_its_name(streams):
    watch = TrainingMonitor(lambda _: None, every=5)
    strategy = in_memory(make_model(), [Poison("parameter", 11), watch])
    with pytest.raises(DivergedError, match=r"parameter blocks\.a\.weight .* step 12 of model 2"):
        train(strategy, streams["train"])


def test_progress_rises_to_all(streams):
    seen = []
    watch = TrainingMonitor(seen.append, every=4)
    train(in_memory(make_model(), [watch]), streams["train"])
    assert seen == pytest.approx([step / 24 for step in (4, 8, 12, 16, 20, 24)])


@pytest.mark.parametrize("limits", [[3, 7], [5, 5], [1, 11], [6, 10]])
def test_step_limit_stops_stock_strategies_exactly(streams, limits):
    tape = Tape()
    strategy = stock(make_model(), [tape, StepLimit()], epochs=max(limits))
    StepClock.attach(strategy, limits)
    train(strategy, streams["train"], num_workers=0)
    assert [len(batches) for batches in tape.batches] == limits


def test_step_limit_stops_joint_training_exactly(streams):
    class Count(SupervisedPlugin):
        steps = 0

        def after_update(self, *_, **__):
            self.steps += 1

    model, count = make_model(), Count()
    strategy = JointTraining(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        train_epochs=17,
        plugins=[count, StepLimit()],
        evaluator=silent_evaluator,
    )
    StepClock.attach(strategy, [17, 0])
    strategy.train(streams["train"], eval_streams=[], num_workers=0)
    assert count.steps == 17


# Datasets in memory


def test_the_union_of_datasets_is_in_memory_with_a_label_for_each_sample():
    one = InMemoryDataset.of(torch.zeros(3, 2), torch.tensor([0, 1, 2]), 0)
    two = InMemoryDataset.of(torch.ones(2, 2), torch.tensor([2, 1]), 1)
    x, y, task = one.concat(two).tensors
    assert x[:, 0].tolist() == [0, 0, 0, 1, 1]
    assert y.tolist() == [0, 1, 2, 2, 1]
    assert task.tolist() == [0, 0, 0, 1, 1]


def test_what_avalanche_derives_from_a_dataset_agrees_with_its_samples():
    dataset = InMemoryDataset.of(torch.arange(5.0)[:, None], torch.tensor([0, 1, 0, 1, 0]), 3)
    subset = dataset.subset([4, 1])
    assert subset.tensors is None or len(subset.tensors[0]) == 2
    assert [(float(x), int(y), int(t)) for x, y, t in subset] == [(4, 0, 3), (1, 1, 3)]
    assert list(subset.targets) == [0, 1]
    for view in (dataset.train(), dataset.eval()):
        assert torch.equal(view.tensors[0], dataset.tensors[0])
