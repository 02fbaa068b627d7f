"""Each model's optimizer: built as asked, fresh or with what it knows, against plain loops."""

import pytest
import torch
import yaml
from one_run import TWO_MODELS, execute
from torch import nn

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.scenarios.settings.optimizers import SGD, Adam, RMSprop, RoleDecay
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.training.clock import StepClock
from palimpsest.benchmark.training.control import Warmup
from palimpsest.benchmark.training.optimizers import EachOptimizer, make_optimizer
from palimpsest.benchmark.training.template import Batches, InMemoryTraining

SCENARIO = TWO_MODELS | {
    "steps": 12,
    "hidden_layers": [2, 3],
    "shared_layers": 2,
    "curve": {"every": 5},
    "optimizer": {"name": "rmsprop", "learning_rate": 0.01},
}
PLAIN = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.02, foreach=False),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.0, 0.99), foreach=False),
    "fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, foreach=False),
}
SECOND = {
    "sgd": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.02},
    "adam": {"name": "adam", "learning_rate": 0.01, "betas": [0.0, 0.99]},
    "fused": {"name": "adam", "learning_rate": 0.01, "fused": True},
    "rmsprop": {"name": "rmsprop", "learning_rate": 0.01},
}


def after_training(ready):
    for experience in ready.scenario.train:
        ready.strategy.train(
            experience, eval_streams=[], reset_optimizer_state=True, pin_memory=False
        )
    return {n: p.detach().clone() for n, p in ready.scenario.model.named_parameters()}


def plain_loop(ready, optimizers, rates=(lambda step: 1.0, lambda step: 1.0)):
    """Train both models step by step with given torch optimizers."""
    model, scenario = ready.scenario.model, ready.scenario
    for i, optimizer in enumerate(optimizers):
        full = optimizer.param_groups[0]["lr"]
        x, y, task = scenario.train[i].dataset.tensors
        batches = Batches((x, y, task), 32, scenario.steps[i], ready.strategy._order_seeds[i])
        model.train()
        for step, (inputs, targets, label) in enumerate(batches):
            optimizer.param_groups[0]["lr"] = full * rates[i](step)
            for parameter in model.parameters():
                parameter.grad = None
            nn.functional.cross_entropy(model(inputs, label), targets).backward()
            optimizer.step()
        optimizer.param_groups[0]["lr"] = full
    return {n: p.detach() for n, p in model.named_parameters()}


def assert_same(one, two):
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", SECOND)
def test_the_second_model_has_its_own_optimizer(make_run, tmp_path, kind):
    run = make_run(second_optimizer=SECOND[kind])
    found = after_training(prepare(run, tmp_path))
    ready = prepare(run, tmp_path)
    parameters = list(ready.scenario.model.parameters())
    assert_same(found, plain_loop(ready, [PLAIN["rmsprop"](parameters), PLAIN[kind](parameters)]))


def test_naming_the_first_optimizer_again_changes_nothing(make_run, tmp_path):
    runs = make_run(), make_run(second_optimizer=SECOND["rmsprop"])
    one, two = (execute(run, tmp_path) for run in runs)
    assert one.accuracy_matrix == two.accuracy_matrix
    assert one.curves == two.curves


def test_kept_moments_are_those_of_one_optimizer_over_both_models(make_run, tmp_path):
    run = make_run(optimizer_state="kept")
    found = after_training(prepare(run, tmp_path))
    ready = prepare(run, tmp_path)
    one = PLAIN["rmsprop"](list(ready.scenario.model.parameters()))
    assert_same(found, plain_loop(ready, [one, one]))
    fresh = after_training(prepare(make_run(), tmp_path))
    assert not all(torch.equal(value, fresh[name]) for name, value in found.items())


def test_kept_moments_go_to_an_optimizer_with_other_settings(make_run, tmp_path):
    second = SECOND["rmsprop"] | {"learning_rate": 0.003}
    run = make_run(optimizer_state="kept", second_optimizer=second)
    found = after_training(prepare(run, tmp_path))
    ready = prepare(run, tmp_path)
    parameters = list(ready.scenario.model.parameters())
    optimizer = PLAIN["rmsprop"](parameters)

    plain_loop(ready, [optimizer])
    optimizer.param_groups[0]["lr"] = 0.003
    x, y, label = ready.scenario.train[1].dataset.tensors
    model = ready.scenario.model
    for inputs, targets, _ in Batches((x, y, label), 32, 12, ready.strategy._order_seeds[1]):
        for parameter in parameters:
            parameter.grad = None
        nn.functional.cross_entropy(model(inputs, label), targets).backward()
        optimizer.step()
    assert_same(found, {n: p.detach() for n, p in model.named_parameters()})


def test_the_second_model_has_its_own_warm_up(make_run, tmp_path):
    run = make_run(second_warmup=8)
    found = after_training(prepare(run, tmp_path))
    ready = prepare(run, tmp_path)
    parameters = list(ready.scenario.model.parameters())
    optimizers = [PLAIN["rmsprop"](parameters), PLAIN["rmsprop"](parameters)]
    rates = (lambda step: 1.0, lambda step: min(1.0, (step + 1) / 8))
    assert_same(found, plain_loop(ready, optimizers, rates))


def test_a_warm_up_that_training_does_not_finish_leaves_the_full_rate(make_run, tmp_path):
    ready = prepare(make_run(warmup=40, second_warmup=0), tmp_path)
    after_training(ready)
    assert [group["lr"] for group in ready.strategy.optimizer.param_groups] == [0.01]


CHANGES_OF_B = [
    {"second_data": "rotated"},
    {"second_data": "permuted"},
    {"second_data": "rotated", "rotation": 45.0},
    {"second_optimizer": SECOND["sgd"]},
    {"second_optimizer": SECOND["rmsprop"] | {"weight_decay": {"shared": 0.1}}},
    {"second_warmup": 5},
    {"optimizer_state": "kept"},
]


@pytest.mark.parametrize("change", CHANGES_OF_B, ids=str)
def test_scenarios_that_differ_in_the_second_model_share_the_first(make_run, tmp_path, change):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    other = make_run(**change)
    alone = execute(other, tmp_path)
    execute(make_run(), tmp_path, scratch)
    shared = execute(other, tmp_path, scratch)
    assert len(list(scratch.iterdir())) == 1
    assert shared.cost["training_seconds"][0] is None
    assert shared.accuracy_matrix == alone.accuracy_matrix
    assert shared.curves == alone.curves


CHANGES_OF_A = [
    {"optimizer": SECOND["sgd"]},
    {"width": 9},
    {"warmup": 3},
    {"target_accuracy": 0.2},
    {"steps": 13},
    {"shared_layers": 1},
    {"samples": 299},
    {"curve": {"every": 5, "split": "validation"}},
]


@pytest.mark.parametrize("change", CHANGES_OF_A, ids=str)
def test_scenarios_that_differ_in_the_first_model_do_not_share_it(make_run, tmp_path, change):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    other = make_run(**change)
    alone = execute(other, tmp_path)
    execute(make_run(), tmp_path, scratch)
    assert execute(other, tmp_path, scratch).accuracy_matrix == alone.accuracy_matrix
    assert len(list(scratch.iterdir())) == 2


ROLES = {"shared": 0.05, "private": 0.01}
WITH_ROLES = {
    kind: own | {"weight_decay": ROLES}
    for kind, own in (SECOND | {"adamw": {"name": "adamw", "learning_rate": 0.01}}).items()
}
TORCH = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, foreach=False),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01, betas=(0.0, 0.99), foreach=False),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.01, foreach=False),
    "fused": lambda groups: torch.optim.Adam(groups, lr=0.01, fused=True),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, foreach=False),
}


@pytest.mark.parametrize("kind", WITH_ROLES)
def test_shared_and_private_weights_have_their_own_decay(make_run, tmp_path, kind):
    run = make_run(second_optimizer=WITH_ROLES[kind])
    found = after_training(prepare(run, tmp_path))
    ready = prepare(run, tmp_path)
    named = list(ready.scenario.model.named_parameters())
    second = TORCH[kind](
        [
            {"params": [p for n, p in named if "shared" in n], "weight_decay": 0.05},
            {"params": [p for n, p in named if "shared" not in n], "weight_decay": 0.01},
        ]
    )
    plain = plain_loop(ready, [PLAIN["rmsprop"]([p for _, p in named]), second])
    assert_same(found, plain)


def test_a_decay_by_role_that_is_the_same_for_both_is_the_plain_one(make_run, tmp_path):
    both = [
        execute(make_run(second_optimizer=SECOND["sgd"] | {"weight_decay": decay}), tmp_path)
        for decay in (0.02, {"shared": 0.02, "private": 0.02})
    ]
    assert both[0].accuracy_matrix == both[1].accuracy_matrix
    assert both[0].curves == both[1].curves


def test_the_roles_are_those_of_the_model_that_trains(tmp_path):
    # Of three models 0 and 2 share a block that 1 does not use: private to model 0, shared of 2.
    from palimpsest.benchmark.models.bank import ModelBank

    bank = ModelBank(
        {name: nn.Linear(2, 2) for name in ("one", "other", "x", "y", "z")},
        [["one", "x"], ["other", "y"], ["one", "z"]],
        2,
    )
    settings = SGD(weight_decay=RoleDecay(shared=1.0, private=0.5))
    for model, shared in enumerate([set(), set(), {"one"}]):
        optimizer = make_optimizer(settings, bank, bank.shared_parameters_of(model).values())
        decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        for name, parameter in bank.named_parameters():
            wanted = 1.0 if name.split(".")[1] in shared else 0.5
            assert decays[id(parameter)] == wanted


def test_kept_moments_survive_a_change_of_the_groups(make_run, tmp_path):
    # The parameters of the two groups come in another order than those of the one before.
    second = SECOND["rmsprop"] | {"weight_decay": {"shared": 1e-12, "private": 0.0}}
    kept = after_training(
        prepare(make_run(optimizer_state="kept", second_optimizer=second), tmp_path)
    )
    assert_same(kept, after_training(prepare(make_run(optimizer_state="kept"), tmp_path)))


def test_with_one_head_for_all_everything_is_shared_from_the_second_model_on(tmp_path):
    # Every task has the same label there, and all models are one.
    suite = {
        "suite": "test",
        "seeds": 1,
        "scenarios": {
            "it": {
                "family": "permuted", "data": "digits", "samples": 200, "steps": 3,
                "experiences": 2,
                "optimizer": {"name": "sgd", "weight_decay": ROLES},
            }
        },
        "strategies": {"finetune": {}},
    }  # fmt: skip
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(suite))
    (run,) = load_suite(path).runs("cpu", tmp_path)
    ready = prepare(run, tmp_path)
    decays = []
    for experience in ready.scenario.train:
        ready.strategy.train(experience, eval_streams=[], pin_memory=False)
        decays.append({g["weight_decay"] for g in ready.strategy.optimizer.param_groups})
    assert decays == [{0.01}, {0.05}]


def test_independent_models_do_not_inherit_what_the_optimizer_knows(make_run, tmp_path):
    fresh, kept = (
        execute(make_run("independent", optimizer_state=state), tmp_path)
        for state in ("fresh", "kept")
    )
    assert fresh.accuracy_matrix == kept.accuracy_matrix
    assert fresh.curves == kept.curves


def test_a_decay_by_an_unknown_role_is_refused(make_run):
    second = SECOND["sgd"] | {"weight_decay": {"shred": 0.1}}
    with pytest.raises(UserError, match=r"second_optimizer\.weight_decay\.shred"):
        make_run(second_optimizer=second)


def test_kept_moments_need_one_kind_of_optimizer(make_run):
    with pytest.raises(Exception, match="A has rmsprop and B sgd"):
        make_run(optimizer_state="kept", second_optimizer=SECOND["sgd"])


@pytest.mark.parametrize(
    ("settings", "kind"),
    [(SGD(), "SGD"), (Adam(), "Adam"), (Adam(name="adamw"), "AdamW"), (RMSprop(), "RMSprop")],
)
def test_every_optimizer_can_be_made(settings, kind):
    optimizer = make_optimizer(settings, nn.Linear(2, 2))
    assert type(optimizer).__name__ == kind
    assert optimizer.param_groups[0]["lr"] == settings.learning_rate


def test_stock_avalanche_is_given_each_models_optimizer(make_run, tmp_path):
    from palimpsest.benchmark.runs.avalanche_strategies import find, make

    run = make_run(second_optimizer=SECOND["sgd"])
    ready = prepare(run, tmp_path)
    seen = []

    class See(EachOptimizer):
        def before_training_exp(self, strategy, *arguments, **keywords):
            super().before_training_exp(strategy, *arguments, **keywords)
            seen.append(type(strategy.optimizer).__name__)

    assert isinstance(ready.strategy, InMemoryTraining)
    both = [RMSprop(), SGD(learning_rate=0.1)]
    model = ready.scenario.model
    strategy = make(
        find("avalanche:Naive"),
        {},
        model=model,
        optimizer=make_optimizer(both[0], model),
        batch_size=32,
        most_epochs=1,
        device="cpu",
        plugins=[See(both, keep=False), Warmup([2, 0])],
    )
    StepClock.attach(strategy, [2, 2])
    for experience in ready.scenario.train:
        strategy.train(experience, eval_streams=[], reset_optimizer_state=True, pin_memory=False)
    assert seen == ["RMSprop", "SGD"]
