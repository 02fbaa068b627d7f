"""Learning-rate schedules: torch's own, anew for each model, and what acts beside them."""

import numpy as np
import pytest
import torch
import yaml
from avalanche.training.plugins import SupervisedPlugin
from one_run import TWO_MODELS
from torch import nn
from torch.optim import lr_scheduler

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.scenarios.settings.learning_rates import Constant, Cosine, Linear, Step
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.training.control import Warmup
from palimpsest.benchmark.training.rates import LearningRates, make_scheduler, schedule_length
from palimpsest.benchmark.training.template import InMemoryTraining
from palimpsest.strategies import L2
from palimpsest.strategies.base.hooks import Hooked

SCENARIO = TWO_MODELS | {
    "steps": 12,
    "hidden_layers": [2, 3],
    "shared_layers": 2,
    "curve": {"every": 0},
}
SCHEDULES = {
    "cosine": (
        {"name": "cosine", "final": 0.1},
        lambda o, n: lr_scheduler.CosineAnnealingLR(o, n, eta_min=0.02),
    ),
    "linear": ({"name": "linear"}, lambda o, n: lr_scheduler.LinearLR(o, 1.0, 0.0, n)),
    "step": (
        {"name": "step", "at": [0.25, 0.5], "factor": 0.3},
        lambda o, n: lr_scheduler.MultiStepLR(o, [round(n / 4), round(n / 2)], 0.3),
    ),
}


class Rates(SupervisedPlugin):
    """Notes the rate of every step, as a strategy sees it right after the update."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def before_training_exp(self, *_, **__):
        self.rates.append([])

    def after_update(self, strategy, *_, **__):
        self.rates[-1].append(strategy.optimizer.param_groups[0]["lr"])


def rates_of(ready):
    rates = Rates()
    ready.strategy.plugins.append(rates)
    for number, visit in enumerate(ready.schedule.visits):
        visits = ready.schedule.order == "visits"
        data = ready.scenario.train if len(visit.models) > 1 else None
        ready.strategy.train(
            data or ready.scenario.train[visit.models[0]],
            eval_streams=[],
            reset_optimizer_state=True,
            pin_memory=False,
            **({"visit": number} if visits else {}),
        )
    return [each for each in rates.rates if each]


def torchs(make, steps, warmup=0, full=0.2):
    """The rates of torch's own scheduler after a warm-up, as a program would call it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=full)
    found = [full * (step + 1) / warmup for step in range(warmup)]
    scheduler = make(optimizer, steps - warmup)
    for _ in range(steps - warmup):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_model_has_torchs_schedule_anew(make_run, tmp_path, name, warmup):
    settings, make = SCHEDULES[name]
    ready = prepare(make_run(learning_rate_schedule=settings, warmup=warmup), tmp_path)
    expected = torchs(make, 12, warmup)
    assert len(set(expected)) > 2
    found = rates_of(ready)
    assert found == [pytest.approx(expected, abs=1e-9)] * 2
    assert [group["lr"] for group in ready.strategy.optimizer.param_groups] == [0.2]


@pytest.mark.parametrize("strategy", ["wpl", "si", "lwf", "avalanche:EWC", "avalanche:GEM"])
def test_strategies_and_avalanches_own_follow_it(make_run, tmp_path, strategy):
    settings = {
        "avalanche:EWC": {"arguments": {"ewc_lambda": 1.0}},
        "avalanche:GEM": {"arguments": {"patterns_per_exp": 10}},
    }.get(strategy, {})
    schedule, make = SCHEDULES["cosine"]
    run = make_run(strategy, settings, learning_rate_schedule=schedule)
    assert rates_of(prepare(run, tmp_path)) == [pytest.approx(torchs(make, 12))] * 2


@pytest.mark.parametrize("strategy", ["joint", "avalanche:JointTraining"])
def test_trained_at_once_there_is_one_schedule(make_run, tmp_path, strategy):
    schedule, make = SCHEDULES["linear"]
    settings = {"arguments": {}} if ":" in strategy else {}
    ready = prepare(make_run(strategy, settings, learning_rate_schedule=schedule), tmp_path)
    assert rates_of(ready)[0] == pytest.approx(torchs(make, 24))


def test_a_schedule_of_its_own_length_stays_where_it_ends(make_run, tmp_path):
    schedule = {"name": "linear", "final": 0.5, "steps": 4}
    (first, second) = rates_of(prepare(make_run(learning_rate_schedule=schedule), tmp_path))
    assert first == second == pytest.approx([0.2, 0.175, 0.15, 0.125] + [0.1] * 8)


def test_early_stopping_does_not_shorten_it(make_run, tmp_path):
    schedule, make = SCHEDULES["cosine"]
    run = make_run(learning_rate_schedule=schedule, target_accuracy=0.2, steps=40)
    first, second = rates_of(prepare(run, tmp_path))
    expected = torchs(make, 40)
    assert len(first) < 40
    assert first == pytest.approx(expected[: len(first)])
    assert second == pytest.approx(expected)


def test_an_update_rule_of_the_strategys_own_has_it_too():
    class Own(Hooked):
        def optimizer(self, parameters):
            return torch.optim.Adam(parameters, lr=0.01)

    rates = Rates()
    train_linear([Own(), LearningRates([Linear()] * 2, [0, 0]), rates], 4)
    assert rates.rates == [pytest.approx([0.01, 0.0075, 0.005, 0.0025])] * 2


def test_groups_keep_their_ratio():
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": [p], "lr": r} for p, r in zip(parameters, (1, 3), strict=False)]
    )
    for settings in (Cosine(final=0.2), Linear(), Step()):
        for group, rate in zip(optimizer.param_groups, (1, 3), strict=True):
            group["lr"] = rate
            group.pop("initial_lr", None)
        scheduler = make_scheduler(settings, optimizer, 10)
        for _ in range(8):
            optimizer.step()
            scheduler.step()
        one, three = (group["lr"] for group in optimizer.param_groups)
        assert one < 1
        assert three == pytest.approx(3 * one)


def test_lengths():
    assert schedule_length(Linear(), 12, 0) == 12
    assert schedule_length(Linear(), 12, 4) == 8
    assert schedule_length(Linear(), 12, 12) == 0
    assert schedule_length(Linear(steps=5), 12, 4) == 5
    assert schedule_length(Constant(), 12, 0) == 0


# Bad input

REFUSED = {
    "a length of zero": (
        {"learning_rate_schedule": {"name": "cosine", "steps": 0}},
        "greater than or equal to 1, got 0",
    ),
    "nothing after the warm-up": (
        {"learning_rate_schedule": {"name": "cosine"}, "warmup": 12},
        "cosine has a length of zero, since the warm-up takes 12 steps and a training has 12",
    ),
    "nothing after the warm-up, by epochs": (
        {"learning_rate_schedule": {"name": "linear"}, "warmup": 20, "epochs": 1},
        "linear has a length of zero, since the warm-up takes 20 steps and a training has 9",
    ),
    "no moment": ({"learning_rate_schedule": {"name": "step", "at": []}}, "1 or more entries"),
    "out of order": ({"learning_rate_schedule": {"name": "step", "at": [0.7, 0.2]}}, "increasing"),
    "an unknown one": ({"learning_rate_schedule": {"name": "cosin"}}, "did you mean 'cosine'"),
    "a norm of zero": ({"clip_gradient": 0}, "greater than or equal to 1e-30"),
    "all of a label": ({"label_smoothing": 1.0}, "less than 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_a_sentence_before_anything_trains(tmp_path, capfd, case):
    changes, words = REFUSED[case]
    scenario = SCENARIO | changes
    if "epochs" in changes:
        del scenario["steps"]
    suite = {"suite": "t", "scenarios": {"it": scenario}, "strategies": {"finetune": {}}}
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(suite))
    store = tmp_path / "runs.db"
    arguments = ["run", str(path), "--store", str(store), "--data-root", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    told = " ".join(capfd.readouterr().err.split())
    assert end.value.code == 2, told
    assert words in told
    assert "Traceback" not in told
    assert not store.exists()


# Protection behind a schedule, against quadratics that are solved exactly

N, FEATURES = 24, 5


def squares(outputs, targets):
    return (outputs - targets).square().mean() / 2


class Given(L2):
    """Penalises with importances that a test has given."""

    given = torch.linspace(0.0, 3.0, FEATURES, dtype=torch.float64)[None]

    def estimate(self, strategy, parameters):
        return {name: self.given.clone() for name in parameters}


def train_linear(plugins, steps, momentum=0.0):
    """Train a linear model on two regressions in turn, each step on all samples."""
    generator = torch.Generator().manual_seed(0)
    parts = [
        (
            torch.randn(N, FEATURES, generator=generator, dtype=torch.float64),
            torch.randn(N, 1, generator=generator, dtype=torch.float64),
        )
        for _ in range(2)
    ]
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, 1, bias=False, dtype=torch.float64)
    start = model.weight.detach().clone().numpy()[0]
    training = InMemoryTraining(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.4, momentum=momentum),
        batch_size=N,
        steps=[steps] * 2,
        order_seeds=[0, 1],
        device="cpu",
        plugins=plugins,
        loss=squares,
    )
    weights = []
    for experience in experiences(parts, [0, 0]):
        training.train(experience, eval_streams=[], reset_optimizer_state=True)
        weights.append(model.weight.detach().clone().numpy()[0])
    return start, [(x.numpy(), y.numpy()[:, 0]) for x, y in parts], weights


def experiences(parts, labels):
    from avalanche.benchmarks import benchmark_from_datasets, with_task_labels

    datasets = [InMemoryDataset.of(x, y, t) for (x, y), t in zip(parts, labels, strict=True)]
    return list(with_task_labels(benchmark_from_datasets(train=datasets)).streams["train"])


@pytest.mark.parametrize("application", ["proximal", "decoupled", "gradient"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("schedule", [Cosine(), Linear(final=0.1), Step(at=(0.3,), factor=0.2)])
def test_a_penalty_follows_the_rate_of_the_step(application, momentum, schedule):
    strength, steps, warmup = 2.0, 10, 3
    plugins = [
        Given(strength=strength, application=application),
        Warmup([warmup] * 2),
        LearningRates([schedule] * 2, [warmup] * 2),
    ]
    start, parts, found = train_linear(plugins, steps, momentum)
    make = {
        "cosine": lr_scheduler.CosineAnnealingLR,
        "linear": lambda o, n: lr_scheduler.LinearLR(o, 1.0, 0.1, n),
        "step": lambda o, n: lr_scheduler.MultiStepLR(o, [round(0.3 * n)], 0.2),
    }
    rates = torchs(make[schedule.name], steps, warmup, full=0.4)
    first = trained(start, parts[0], rates, momentum)
    importance = np.diag(Given.given.numpy()[0]) * strength
    theta = trained(first, parts[1], rates, momentum, importance, first, application)
    np.testing.assert_allclose(found[0], first, rtol=1e-9)
    np.testing.assert_allclose(found[1], theta, rtol=1e-9)
    constant = trained(first, parts[1], [0.4] * steps, momentum, importance, first, application)
    assert np.abs(constant - theta).max() > 1e-3


def trained(theta, part, rates, momentum, quadratic=None, anchor=None, application=None):
    """Gradient descent on a regression, beside a quadratic that each step minimises exactly."""
    x, y = part
    velocity = np.zeros_like(theta)
    for rate in rates:
        gradient = x.T @ (x @ theta - y) / len(x)
        if application == "gradient":
            gradient = gradient + quadratic @ (theta - anchor)
        velocity = momentum * velocity + gradient
        theta = theta - rate * velocity
        if application in {"proximal", "decoupled"}:
            scale = rate / (1 - momentum) if application == "proximal" else rate
            system = np.eye(len(theta)) + scale * quadratic
            theta = np.linalg.solve(system, theta + scale * quadratic @ anchor)
    return theta
