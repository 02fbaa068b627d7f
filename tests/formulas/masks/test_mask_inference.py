"""Which mask a batch belongs to: superpositions, their gradient, and what is inferred."""

import pickle

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import CLASSES, FEATURES, make_bank, make_data, train
from sklearn.datasets import load_digits
from torch import nn

from palimpsest.benchmark.cli import main
from palimpsest.strategies import ExSSNet, SSNet, SupSup
from palimpsest.strategies.masks.mask_inference import (
    entropy,
    entropy_gradient,
    inferred,
    mixed_statistics,
)
from palimpsest.strategies.masks.weight_masks import applied, superposed

DIGITS = load_digits()
X, Y = torch.tensor(DIGITS.data[:600]).float() / 8 - 1, torch.tensor(DIGITS.target[:600])
GENERATOR = torch.Generator().manual_seed(0)
PERMUTED = [(X, Y), *((X[:, torch.randperm(64, generator=GENERATOR)], Y) for _ in range(2))]
KINDS = {
    "supsup": lambda **s: SupSup(rule="threshold", **s),
    "ssnet": lambda **s: SSNet(mask_steps=50, density=0.5, **s),
    "exssnet": lambda **s: ExSSNet(mask_steps=50, density=0.5, **s),
}


def network(kind="mlp"):
    torch.manual_seed(0)
    if kind == "cnn":
        layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)]
    else:
        layers = [nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES)]
    return nn.Sequential(*layers)


def trained(kind="mlp", models=3, **settings):
    """A plugin with the masks of some models, and the network, in double precision."""
    plugin, model = SupSup(**settings), network(kind)
    parts = make_data(models)
    if kind == "cnn":
        parts = [(x.repeat(1, 6).view(-1, 1, 6, 6), y) for x, y in parts]
    model = train(model, [plugin], parts=parts, optimizer="adam").double().eval()
    for own in plugin.statistics.values():
        own |= {n: value.double() for n, value in own.items() if value.is_floating_point()}
    return plugin, model, parts[0][0].double()


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_a_superposition_of_one_mask_is_its_model(kind):
    plugin, model, x = trained(kind)
    masks, statistics = [*plugin.masks.values()], [*plugin.statistics.values()]
    for i in range(3):
        alpha = torch.eye(3)[i]
        mixture = superposed(model, masks, alpha), mixed_statistics(statistics, alpha)
        with plugin.evaluating(model, i), torch.no_grad():
            wanted = model(x)
        with applied(model, *mixture), torch.no_grad():
            torch.testing.assert_close(model(x), wanted, rtol=0, atol=1e-12)
        assert mixture[1]["1.num_batches_tracked"] == statistics[i]["1.num_batches_tracked"]


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_the_gradient_by_alpha_is_that_of_finite_differences(kind):
    plugin, model, x = trained(kind)
    masks, statistics = [*plugin.masks.values()], [*plugin.statistics.values()]
    alpha = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    running = mixed_statistics(statistics, alpha)

    def uncertainty(weights):
        with applied(model, superposed(model, masks, weights), running), torch.no_grad():
            p = model(x).softmax(dim=1)
        return -(p * p.log()).sum(dim=1).mean()

    step, found = 1e-6, []
    for one in torch.eye(3, dtype=torch.float64):
        rise = uncertainty(alpha + step * one) - uncertainty(alpha - step * one)
        found.append(rise / (2 * step))
    gradient = entropy_gradient(model, lambda: model(x), masks, statistics, alpha)
    torch.testing.assert_close(gradient, torch.stack(found), rtol=1e-5, atol=1e-8)
    assert gradient.abs().min() > 1e-4
    assert all(p.grad is None for p in model.parameters())


def test_entropy_is_that_of_the_probabilities():
    logits = torch.tensor([[0.0, 0.0], [50.0, -50.0]])
    assert entropy(logits).item() == pytest.approx(0.5 * torch.tensor(2.0).log().item())


@pytest.mark.parametrize("infer", ["one_shot", "binary"])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_mask_of_a_permutation_is_inferred(make, infer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 100, bias=False), nn.ReLU(), nn.Linear(100, 50, bias=False))
    plugin = make(infer=infer)
    adam = {"optimizer": lambda p: torch.optim.Adam(p, lr=0.005), "epochs": 10, "batch_size": 60}
    model = train(model, [plugin], parts=PERMUTED, **adam).eval()
    for i, (x, y) in enumerate(PERMUTED):
        with plugin.evaluating(model, i), torch.no_grad():
            logits = torch.cat([model(part) for part in x.split(50)])
        assert plugin.inferred[i] == {i: 12}
        with plugin._as(model, i), torch.no_grad():
            assert torch.equal(model(x).argmax(dim=1), logits.argmax(dim=1))
        assert (logits.argmax(dim=1) == y).float().mean() > 0.85
    assert pickle.loads(pickle.dumps(plugin.inferred)) == plugin.inferred


def test_the_number_of_the_experience_has_no_effect():
    plugin, model, x = trained(infer="one_shot", infer_from=3)
    found = []
    for index in (0, 1, 2, 7):  # also one that was never trained
        with plugin.evaluating(model, index), torch.no_grad():
            found.append(torch.cat([model(part) for part in x.split(10)]))
        assert torch.equal(found[0], found[-1])
    assert all(own == plugin.inferred[0] for own in plugin.inferred.values())


def test_so_many_samples_decide_for_a_batch():
    plugin, model, x = trained(infer="one_shot", infer_from=3)
    seen = []
    handle = model[0].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    with plugin.evaluating(model, 0), torch.no_grad():
        model(x)
    handle.remove()
    assert seen == [3, len(x)]


@pytest.mark.parametrize("halve", [False, True])
def test_of_masks_that_are_the_same_the_earliest_is_taken(halve):
    plugin, model, x = trained()
    kept = plugin.masks, plugin.statistics
    masks, statistics = (dict.fromkeys((4, 2, 7), own[1]) for own in kept)
    assert inferred(model, lambda: model(x), masks, statistics, halve=halve) == 2


def test_halving_looks_at_fewer_masks_each_time():
    plugin, model, x = trained()
    runs = []
    kept = plugin.masks, plugin.statistics
    masks, statistics = ({i: own[i % 3] for i in range(7)} for own in kept)

    def logits():
        runs.append(1)
        return model(x)

    inferred(model, logits, masks, statistics, halve=True)
    assert len(runs) == 3  # 7, 4, 2


@pytest.mark.parametrize("kind", [SupSup, SSNet])
def test_the_model_that_trains_is_given(kind):
    plugin = kind(infer="one_shot", **({"mask_steps": 4} if kind is SSNet else {}))
    parts, found = make_data(2), []

    class Looks(SupervisedPlugin):
        def after_training_iteration(self, strategy, *_, **__):
            index = strategy.experience.current_experience
            plain = strategy.model(parts[0][0])
            with plugin.evaluating(strategy.model, index), torch.no_grad():
                found.append(torch.equal(plain, strategy.model(parts[0][0])))

    train(nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES)),
          [plugin, Looks()], parts=parts)  # fmt: skip
    assert found == [True] * 16
    assert plugin.inferred == {}


@pytest.mark.parametrize("kind", [SupSup, SSNet])
def test_the_mask_under_training_is_never_inferred(kind):
    plugin = kind(infer="one_shot", **({"mask_steps": 4} if kind is SSNet else {}))
    parts, found = make_data(3), []

    class Looks(SupervisedPlugin):
        def after_training_iteration(self, strategy, *_, **__):
            trains = strategy.experience.current_experience
            strategy.model.eval()
            for i in range(trains):
                with plugin.evaluating(strategy.model, i), torch.no_grad():
                    for row in parts[i][0][:10]:
                        strategy.model(row[None])
                found.append((trains, set(plugin.inferred[i])))
            strategy.model.train()

    train(nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES)),
          [plugin, Looks()], parts=parts)  # fmt: skip
    assert all(chosen <= {*range(trains)} for trains, chosen in found)
    assert set().union(*(chosen for _, chosen in found)) == {0, 1}


def test_models_with_heads_of_their_own_are_refused():
    with pytest.raises(ValueError, match="models or heads of its own for each task label"):
        train(make_bank(), [SupSup(infer="binary")])


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("family: permuted, data: digits, incremental: domain, experiences: 2", 0),
        ("family: permuted, data: digits, incremental: task, experiences: 2", 2),
        ("family: two_models, data: digits", 2),
        ("family: model_sequence, data: digits", 2),
    ],
)
def test_a_suite_whose_models_differ_is_refused(scenario, code, tmp_path, capsys):
    path = tmp_path / "suite.yaml"
    path.write_text(
        f"suite: s\nseeds: 1\nscenarios:\n  a: {{{scenario}}}\n"
        "strategies:\n  supsup: {infer: one_shot}\n"
    )
    with pytest.raises(SystemExit) as exit_:
        main(["run", str(path), "--dry-run", "--store", str(tmp_path / "s.db")])
    assert exit_.value.code == code
    if code:
        assert "line 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("strategy", "scenario", "code"),
    [
        ("supsup: {}", "incremental: class", 2),
        ("exssnet: {mask_steps: 1}", "incremental: domain", 2),
        ("supsup: {infer: given}", "incremental: class", 0),
        ("ssnet: {mask_steps: 1, infer: binary}", "incremental: domain", 0),
        ("supsup: {}", "incremental: task", 0),
    ],
)
def test_a_suite_without_labels_is_refused_unless_the_mask_is_inferred_or_said_to_be_given(
    strategy, scenario, code, tmp_path, capsys
):
    path = tmp_path / "suite.yaml"
    path.write_text(
        f"suite: s\nseeds: 1\nscenarios:\n  a: {{family: split, data: digits, {scenario}}}\n"
        f"strategies:\n  {strategy}\n"
    )
    with pytest.raises(SystemExit) as exit_:
        main(["run", str(path), "--dry-run", "--store", str(tmp_path / "s.db")])
    assert exit_.value.code == code
    if code:
        kind = strategy.partition(":")[0]
        assert f"line 6: strategies.{kind}: {kind} with infer: none" in capsys.readouterr().err


def test_a_mask_that_is_given_is_that_of_no_inference():
    assert not SupSup(infer="given").settings.infers


def test_a_number_of_samples_without_an_effect_is_refused():
    with pytest.raises(ValueError, match="infer_from has no effect with infer: none"):
        SupSup(infer_from=3)
