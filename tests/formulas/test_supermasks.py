"""SupSup, SSNet and ExSSNet: zero forgetting, masks and weights, to the bit."""

import pytest
import torch
from avalanche.models.utils import avalanche_forward
from one_run import TWO_MODELS, execute, run_of
from programs import FEATURES, OPTIMIZERS, THREE, make_bank, make_data, train
from torch import nn

from palimpsest.strategies import ExSSNet, SSNet, SupSup
from palimpsest.strategies.masks.weight_masks import (
    MaskedLayer,
    add_masks,
    largest,
    masked_layers,
    packed,
    unpacked,
)

STEPS = 8  # of each model: two passes over 40 samples in batches of 10
KINDS = {
    "supsup": SupSup,
    "ssnet": lambda **s: SSNet(mask_steps=STEPS // 2, **{"density": 0.5} | s),
    "exssnet": lambda **s: ExSSNet(mask_steps=STEPS // 2, **{"density": 0.5} | s),
}
every = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def outputs(plugin, model, index, x):
    model.eval()
    with plugin.evaluating(model, index), torch.no_grad():
        return avalanche_forward(model, x, index).clone()


def history(plugin, optimizer="sgd", reset=True, models=3):
    """The outputs of each model on the data of all, and all weights, after each training."""
    parts, seen = make_data(models), []
    x = torch.cat([part[0] for part in parts])

    def note(i, model):
        weights = {n: own.weight.detach().clone() for n, own in masked_layers(model).items()}
        seen.append(([outputs(plugin, model, j, x) for j in range(i + 1)], weights))

    paths = THREE[:models]
    model = train(
        make_bank(paths), [plugin], parts=parts, optimizer=optimizer, reset=reset, after_each=note
    )
    return model, seen


@pytest.mark.parametrize("name", ["supsup", "exssnet"])
def test_running_statistics_are_each_models_own(name):
    plugin, seen = KINDS[name](), []
    parts = make_data()
    shifted = [parts[0], (parts[1][0] + 5, parts[1][1])]
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 4))
    trained = train(
        model,
        [plugin],
        parts=shifted,
        after_each=lambda _, m: seen.append(outputs(plugin, m, 0, parts[0][0])),
    )
    assert torch.equal(*seen)
    one, other = plugin.statistics.values()
    assert not torch.equal(one["1.running_mean"], other["1.running_mean"])
    assert torch.equal(trained[1].running_mean, other["1.running_mean"])  # put back


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_have_one_size_in_a_layer_and_never_change(optimizer):
    bank = make_bank(THREE)
    signs = {n: p.detach() < 0 for n, p in bank.named_parameters() if n.endswith("weight")}
    _, seen = history(SupSup(), optimizer)
    for _outputs, weights in seen:
        for name, weight in weights.items():
            size = (2 / weight.shape[1]) ** 0.5
            assert torch.equal(weight < 0, signs[f"{name}.weight"])
            torch.testing.assert_close(weight.abs(), torch.full_like(weight, size))
            assert torch.equal(weight, seen[0][1][name])


@pytest.mark.parametrize("reset", [True, False], ids=["fresh", "kept"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", [SSNet, ExSSNet])
def test_weights_move_inside_what_is_editable_alone(kind, optimizer, reset):
    plugin = kind(mask_steps=4, density=0.5)
    _, seen = history(plugin, optimizer, reset)
    owned = {}
    for i, (_outputs, weights) in enumerate(seen):
        for name, weight in weights.items():
            uses = name in plugin.masks[i]
            mask = unpacked(plugin.masks[i][name], weight).bool() if uses else weight.isnan()
            editable = mask & ~owned.get(name, torch.zeros_like(mask))
            if kind is SSNet:
                editable = mask
            else:
                owned[name] = owned.get(name, torch.zeros_like(mask)) | mask
            if i > 0:
                moved = weight != seen[i - 1][1][name]
                assert not (moved & ~editable).any()
                if uses:
                    assert (moved & editable).sum() > 0.6 * editable.sum()


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9, 1.0])
@every
def test_masks_keep_the_density_exactly(make, density):
    plugin = make(density=density)
    model, _ = history(plugin)
    for masks in plugin.masks.values():
        for name, mask in masks.items():
            layer = masked_layers(model)[name]
            kept = unpacked(mask, layer.weight).sum()
            assert kept == max(1, round(density * layer.weight.numel()))


@every
def test_masks_are_those_of_the_layers_that_a_model_uses(make):
    plugin = make()
    history(plugin)
    for i, path in enumerate(THREE):
        assert {name.split(".")[1] for name in plugin.masks[i]} == set(path)


def test_a_threshold_keeps_about_half():
    plugin = SupSup(rule="threshold")
    model = nn.Sequential(nn.Linear(FEATURES, 200), nn.Tanh(), nn.Linear(200, 4))
    trained = train(model, [plugin], optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    for name, layer in masked_layers(trained).items():
        kept = unpacked(plugin.masks[0][name], layer.weight).mean().item()
        assert 0.4 < kept < 0.6


@pytest.mark.parametrize("density", [0.3, None])
def test_the_gradient_of_a_mask_is_that_of_its_scores(density):
    torch.manual_seed(0)
    layer = MaskedLayer(nn.Linear(5, 4), density)
    scores = nn.Parameter(torch.randn(4, 5))
    layer.scores["0"], layer.learns = scores, 0
    x = torch.randn(7, 5)
    layer(x).square().sum().backward()
    effective = (layer.weight * layer.chosen()).detach().requires_grad_()
    nn.functional.linear(x, effective, layer.layer.bias).square().sum().backward()
    wanted = layer.weight.detach() * effective.grad
    if density is not None:
        wanted = wanted * scores.detach().sign()
        assert layer.chosen().sum() == round(density * 20)
        assert scores.abs()[layer.chosen()].min() > scores.abs()[~layer.chosen()].max()
    else:
        assert torch.equal(layer.chosen(), scores >= 0)
    torch.testing.assert_close(scores.grad, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_largest_are_exactly_so_many_whatever_is_equal(dtype):
    values = torch.randint(4, (6, 7), generator=torch.Generator().manual_seed(0)).to(dtype).T
    in_order = sorted(range(42), key=lambda i: (-values.reshape(-1)[i].item(), i))
    for count in range(1, 43):
        found = largest(values, count)
        assert found.dtype == dtype
        assert found.reshape(-1).nonzero()[:, 0].tolist() == sorted(in_order[:count])


def test_each_seed_and_model_has_scores_of_its_own():
    plugins = [SupSup(), SupSup(), SupSup(seed=1)]
    still = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.0)}
    for plugin in plugins:
        train(make_bank(THREE), [plugin], parts=make_data(3), **still)
    one, again, other = (plugin.masks for plugin in plugins)
    for i in range(3):
        for name, bits in one[i].items():
            assert torch.equal(bits, again[i][name])
    same = [torch.equal(one[i][n], other[i][n]) for i in range(3) for n in one[i] if "y" in n]
    assert not any(same)
    assert not torch.equal(one[1]["blocks.y.0"], one[2]["blocks.y.0"])
    assert not torch.equal(one[1]["blocks.y.0"], other[0]["blocks.y.0"])  # seed + model is not one


@pytest.mark.parametrize("shape", [(1,), (7,), (8, 3), (5, 3, 3, 3)], ids=str)
def test_masks_are_packed_to_bits(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    bits = packed(mask)
    assert bits.numel() == -(-mask.numel() // 8)
    like = torch.zeros(shape, dtype=torch.float64)
    assert torch.equal(unpacked(bits, like), mask.double())


def test_convolutions_are_masked_and_other_layers_are_not():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(3, 4).requires_grad_(False)
    )
    plugin = SupSup()
    plugin.adapt(model, 0)
    assert [*masked_layers(model)] == ["0"]
    assert not any(p.requires_grad for p in model.parameters())
    assert model(torch.ones(2, 1, 3, 3)).shape == (2, 4)


def test_a_transformer_evaluates_with_its_masks():
    network = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    for place, layer in enumerate(add_masks(network, 0.5)):
        layer.begin(0, torch.Generator().manual_seed(place))
    x = torch.randn(2, 5, 8)
    with torch.no_grad():  # where torch would fuse the layer
        evaluated = network(x)
    torch.testing.assert_close(evaluated, network(x))


def test_a_density_without_an_effect_is_refused():
    with pytest.raises(ValueError, match="density has no effect with rule: threshold"):
        SupSup(rule="threshold", density=0.1)


def test_a_training_that_would_end_with_the_mask_is_refused(tmp_path):
    """Where epochs are given, how many steps these are is known with the data."""
    scenario = TWO_MODELS | {"epochs": 1}
    trained = execute(run_of(tmp_path, scenario, "ssnet", {"mask_steps": 2}), tmp_path)
    (steps,) = {*trained.cost["steps"]}
    refused = execute(run_of(tmp_path, scenario, "ssnet", {"mask_steps": steps}), tmp_path)
    assert refused.status == "failed"
    told = f"mask_steps is {steps}, and a training in scenario 'it' has {steps} steps: none is left"
    assert told in refused.error
