"""Scenarios on the digits that ship with scikit-learn."""

import math

import numpy as np
import pytest
import torch
from float_images import load
from PIL import Image
from pydantic import ValidationError

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.scenarios.families.model_sequence import ModelSequence
from palimpsest.benchmark.scenarios.families.permuted import Permuted
from palimpsest.benchmark.scenarios.families.rotated import Rotated
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.scenarios.settings.scenario import Curve

SPLITS = ("train", "validation", "test")

SETTINGS = {
    "two_models": TwoModels(data="digits", width=8, steps=5),
    "two_models_rotated": TwoModels(data="digits", second_data="rotated", width=8, steps=5),
    "two_models_permuted": TwoModels(data="digits", second_data="permuted", width=8, steps=5),
    "two_models_cnn": TwoModels(data="digits", network="cnn", width=3, steps=5),
    "model_sequence": ModelSequence(width=8, models=4),
    "model_sequence_permuted": ModelSequence(width=8, models=4, change="permuted"),
    "split_task": Split(width=8),
    "split_domain": Split(width=8, incremental="domain"),
    "split_class": Split(width=8, incremental="class"),
    "split_shuffled": Split(width=8, shuffle_classes=True),
    "permuted": Permuted(width=8, experiences=3),
    "permuted_task": Permuted(width=8, experiences=3, incremental="task"),
    "permuted_class": Permuted(width=8, experiences=3, incremental="class"),
    "rotated": Rotated(width=8, experiences=3),
}

ON_DIGITS = sorted(FAMILIES.keys() - {"avalanche", "architecture_search"})
"""The families that take any data set; those of Avalanche's benchmarks are their own, and what is
an epoch or a step of a search is told by tests/search."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(params=SETTINGS)
def case(request, root):
    """The name of a scenario, its settings and the scenario built with seed 0."""
    settings = SETTINGS[request.param]
    return request.param, settings, settings.build(0, root, "cpu")


def tensors(scenario, split, i):
    return getattr(scenario, split)[i].dataset.tensors


def rows(x):
    return {tuple(sample.flatten().tolist()) for sample in x}


@pytest.mark.parametrize("incremental", ["task", "domain", "class"])
def test_the_classes_of_each_experience_are_told_by_name(tmp_path, incremental):
    """Of images whose brightness says which class they are of, whatever their labels became."""
    names = ["ant", "bee", "cat", "dog", "eel", "fox"]
    for number, name in enumerate(names):
        for image in range(10):
            (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((4, 4), 40 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{image}.png")
    settings = Split(
        data=f"folder:{tmp_path / 'images'}", experiences=3, incremental=incremental, width=4,
        shuffle_classes=True, pixels="unit",
    )  # fmt: skip
    orders = set()
    for seed in range(3):
        scenario = settings.build(seed, tmp_path, "cpu")
        told = scenario.told["classes"]
        orders.add(tuple(map(tuple, told)))
        assert sorted(name for own in told for name in own) == names
        for number, own in enumerate(told):
            x, y, *_ = tensors(scenario, "train", number)
            order = [x[y == label].flatten()[0].item() for label in sorted(set(y.tolist()))]
            assert [names[round(255 * value / 40)] for value in order] == own
    assert len(orders) > 1


def test_classes_are_told_where_experiences_have_different_ones(case):
    name, _, scenario = case
    told = scenario.told
    if name.startswith("split") or name == "permuted_class":
        assert len(told["classes"]) == len(scenario.train)
    else:
        assert told == {}
    if name in {"split_task", "split_domain", "split_class"}:
        assert told["classes"][:2] == [["0", "1"], ["2", "3"]]


def test_experiences_are_numbered_and_labelled_in_order(case):
    _, _, scenario = case
    one_head = len(scenario.model.paths) == 1
    for split in SPLITS:
        for i, experience in enumerate(getattr(scenario, split)):
            assert experience.current_experience == i
            assert experience.task_label == (0 if one_head else i)
            assert experience.dataset.tensors[2] == experience.task_label


def test_the_bank_answers_for_every_experience(case):
    _, _, scenario = case
    for i, experience in enumerate(scenario.test):
        x, y, label = tensors(scenario, "test", i)
        logits = scenario.model(x[:3], label)
        assert logits.ndim == 2
        assert logits.shape[1] > int(y.max())
        assert set(experience.classes_in_this_experience) == set(y.tolist())


def test_curves_are_measured_on_the_whole_test_set_where_it_is_small(case):
    _, _, scenario = case
    for test, curve in zip(scenario.test, scenario.curve_data, strict=True):
        assert curve.current_experience == test.current_experience
        assert curve.task_label == test.task_label
        assert curve.dataset.samples[0] is test.dataset.samples[0]


def test_curves_can_be_measured_on_fewer_samples(root):
    settings = TwoModels(data="digits", width=8, steps=5, curve=Curve(samples=20))
    first, second = settings.build(0, root, "cpu"), settings.build(1, root, "cpu")
    for i in range(2):
        x, y, label = tensors(first, "curve_data", i)
        everything, labels, _ = tensors(first, "test", i)
        assert len(x) == len(y) == len(rows(x)) == 20
        assert label == i
        found = (everything[None] == x[:, None]).flatten(2).all(dim=2).nonzero()[:, 1]
        assert torch.equal(labels[found], y)
        assert torch.equal(tensors(second, "curve_data", i)[0], x)
    assert torch.equal(tensors(first, "curve_data", 0)[0], tensors(first, "curve_data", 1)[0])


def test_curves_can_be_measured_on_the_validation_split(root):
    settings = TwoModels(data="digits", width=8, steps=5, curve=Curve(split="validation"))
    scenario = settings.build(0, root, "cpu")
    for i in range(2):
        assert torch.equal(
            tensors(scenario, "curve_data", i)[0], tensors(scenario, "validation", i)[0]
        )


def test_splits_are_disjoint_and_together_all_samples(case, root):
    name, _, scenario = case
    digits = load("digits", root)
    expected = len(digits.train_x), len(digits.test_x)
    count = len(scenario.train)
    sizes = {s: [len(tensors(scenario, s, i)[0]) for i in range(count)] for s in SPLITS}
    if name.startswith("split"):
        assert sum(sizes["train"]) + sum(sizes["validation"]) == expected[0]
        assert sum(sizes["test"]) == expected[1]
    else:
        for i in range(count):
            assert sizes["train"][i] + sizes["validation"][i] == expected[0]
            assert sizes["test"][i] == expected[1]
    for i in range(count):
        train, validation, test = (rows(tensors(scenario, s, i)[0]) for s in SPLITS)
        assert not validation & test
        assert not train & validation
        assert not train & test


def test_the_seed_decides_everything(case, root):
    _, settings, scenario = case
    again = settings.build(0, root, "cpu")
    states = scenario.model.state_dict(), again.model.state_dict()
    assert scenario.model.paths == again.model.paths
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for i in range(len(scenario.train)):
        for split in SPLITS:
            one, two = (tensors(s, split, i) for s in (scenario, again))
            assert torch.equal(one[0], two[0])
            assert torch.equal(one[1], two[1])


def test_building_draws_no_global_random_numbers(case, root):
    _, settings, _ = case
    torch.manual_seed(0)
    before = torch.get_rng_state()
    settings.build(0, root, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


# Two models


def two_models(root, seed=0, **settings):
    return TwoModels(**({"data": "digits", "width": 8, "steps": 5} | settings)).build(
        seed, root, "cpu"
    )


@pytest.mark.parametrize("shared", range(5))
def test_model_b_shares_the_first_layers(root, shared):
    bank = two_models(root, shared_layers=shared).model
    assert len(bank.shared_parameters_of(1)) == 2 * shared
    assert [len(path) for path in bank.paths] == [5, 7]
    common = [a for a, b in zip(*bank.paths, strict=False) if a == b]
    assert len(common) == shared
    assert bank.paths[0][:shared] == bank.paths[1][:shared] == tuple(common)


def test_the_first_model_does_not_depend_on_how_much_is_shared(root):
    x = tensors(two_models(root), "test", 0)[0]
    outputs = [two_models(root, shared_layers=k).model(x, 0) for k in (0, 2, 4)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_model_b_learns_turned_images(root):
    scenario = two_models(root, second_data="rotated")  # by 180 degrees
    for split in SPLITS:
        one, two = (tensors(scenario, split, i) for i in (0, 1))
        torch.testing.assert_close(two[0], one[0].flip(2, 3), rtol=1e-4, atol=1e-4)
        assert torch.equal(one[1], two[1])


def test_model_b_learns_permuted_pixels(root):
    scenario = two_models(root, second_data="permuted")
    one, two = (tensors(scenario, "train", i)[0].flatten(1) for i in (0, 1))
    assert not torch.equal(one, two)
    assert torch.equal(one.sort(dim=1).values, two.sort(dim=1).values)
    test_one, test_two = (tensors(scenario, "test", i)[0].flatten(1) for i in (0, 1))
    order = permutation(one, two)
    assert torch.equal(test_one[:, order], test_two)


def permutation(one, two):
    """Return which column of the first is where in the second (blank columns: any)."""
    order, left = [], list(range(one.shape[1]))
    for column in range(one.shape[1]):
        found = next(c for c in left if torch.equal(one[:, c], two[:, column]))
        order.append(found)
        left.remove(found)
    return order


@pytest.mark.parametrize(
    "wrong",
    [
        {"shared_layers": 5},
        {"hidden_layers": [2, 6], "shared_layers": 3},
        {"target_accuracy": 0.5, "validation": 0},
        {"steps": 5, "epochs": 2},
        {"steps": None},
        {"width": 0},
        {"no_such_setting": 1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        TwoModels(**({"data": "digits"} | wrong))


def image_folder(path, side):
    generator = np.random.default_rng(0)
    for label in ("one", "two", "three"):
        (path / label).mkdir(parents=True)
        for i in range(10):
            pixels = generator.integers(256, size=(side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(path / label / f"{i}.png")
    return f"folder:{path}"


def test_a_second_data_set_of_another_shape_is_refused(root, tmp_path):
    other = image_folder(tmp_path / "images", side=9)
    with pytest.raises(UserError, match="the same shape") as error:
        two_models(root, second_data=other)
    assert "(1, 9, 9)" in str(error.value)
    assert "(1, 8, 8)" in str(error.value)


def test_a_second_data_set_may_have_other_classes(root, tmp_path):
    other = image_folder(tmp_path / "images", side=8)
    scenario = two_models(root, second_data=other)
    x, y, label = tensors(scenario, "train", 1)
    assert scenario.model(x, label).shape == (len(x), 3)
    assert set(y.tolist()) == {0, 1, 2}
    assert scenario.model(x, 0).shape == (len(x), 10)


# Model sequences


@pytest.mark.parametrize("seed", range(3))
def test_every_model_draws_its_layers_from_the_pool(root, seed):
    bank = ModelSequence(width=8, models=6, hidden_layers=3, pool=2).build(seed, root, "cpu").model
    for model, path in enumerate(bank.paths):
        assert path[-1] == f"head_{model}"
        for position, name in enumerate(path[:-1]):
            assert name in {f"layer_{position}_0", f"layer_{position}_1"}
    assert len(set(bank.paths)) > 1


def test_models_are_turned_further_and_further(root):
    scenario = ModelSequence(width=8, models=3, change="rotated", rotation=180.0).build(
        0, root, "cpu"
    )
    first, second, third = (tensors(scenario, "test", i)[0] for i in range(3))
    torch.testing.assert_close(second, first.flip(2, 3), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(third, first, rtol=1e-3, atol=1e-3)


# Split


def test_each_task_has_its_own_head_and_labels_from_zero(root):
    scenario = SETTINGS["split_task"].build(0, root, "cpu")
    for i in range(5):
        x, y, label = tensors(scenario, "train", i)
        assert set(y.tolist()) == {0, 1}
        assert scenario.model(x[:2], label).shape == (2, 2)
    assert len(scenario.model.shared_parameters_of(4)) == 4


def test_classes_come_two_by_two(root):
    scenario = SETTINGS["split_class"].build(0, root, "cpu")
    for i in range(5):
        for split in SPLITS:
            assert set(tensors(scenario, split, i)[1].tolist()) == {2 * i, 2 * i + 1}
    assert len(scenario.model.paths) == 1


@pytest.mark.parametrize(("incremental", "step"), [("domain", 0), ("class", 2)])
def test_each_kind_of_split_has_the_same_images(root, incremental, step):
    task, other = (
        SETTINGS[f"split_{kind}"].build(0, root, "cpu") for kind in ("task", incremental)
    )
    for i in range(5):
        one, two = tensors(task, "train", i), tensors(other, "train", i)
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1] + step * i, two[1])


def test_each_permutation_has_classes_of_its_own(root):
    """Class-incremental: the label tells the permutation as well as the digit."""
    domain, classes = (
        SETTINGS[name].build(0, root, "cpu") for name in ("permuted", "permuted_class")
    )
    assert len(classes.model.paths) == 1
    assert classes.model(tensors(classes, "test", 0)[0][:2], 0).shape == (2, 30)
    for i in range(3):
        one, two = tensors(domain, "train", i), tensors(classes, "train", i)
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1] + 10 * i, two[1])


def test_shuffled_classes_are_an_order_that_the_seed_decides(root):
    plain = SETTINGS["split_task"].build(0, root, "cpu")
    shuffled = [SETTINGS["split_shuffled"].build(seed, root, "cpu") for seed in (0, 1)]
    first = [rows(tensors(s, "test", 0)[0]) for s in (plain, *shuffled)]
    assert first[1] != first[2]
    assert {frozenset(f) for f in first} != {frozenset(first[0])}
    everything = [
        set().union(*(rows(tensors(s, "test", i)[0]) for i in range(5))) for s in shuffled
    ]
    assert everything[0] == everything[1]


@pytest.mark.parametrize("experiences", [3, 4, 20])
def test_classes_that_cannot_be_divided_evenly_are_refused(root, experiences):
    with pytest.raises(UserError, match=f"10 classes, which {experiences} experiences"):
        Split(width=8, experiences=experiences).build(0, root, "cpu")


# Permuted and rotated


def test_every_experience_permutes_in_its_own_way(root):
    scenario = SETTINGS["permuted"].build(0, root, "cpu")
    xs = [tensors(scenario, "train", i)[0].flatten(1) for i in range(3)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(xs[i], xs[j])
        assert torch.equal(xs[i].sort(dim=1).values, xs[j].sort(dim=1).values)


def test_padding_is_added_before_the_pixels_are_permuted(root):
    """As in Three scenarios for continual learning: the same images among more places."""
    plain = SETTINGS["permuted"].build(0, root, "cpu")
    scenario = Permuted(width=8, experiences=3, padding=2).build(0, root, "cpu")
    side = tensors(plain, "test", 0)[0].shape[-1]
    black = tensors(plain, "test", 0)[0].min()
    inside = torch.zeros(side + 4, side + 4, dtype=torch.bool)
    inside[2:-2, 2:-2] = True
    for split in ("train", "validation", "test"):
        x = tensors(scenario, split, 0)[0]
        assert torch.equal(x[..., 2:-2, 2:-2], tensors(plain, split, 0)[0])
        assert (x[..., ~inside] == black).all()
        for i in (1, 2):
            moved = tensors(scenario, split, i)[0]
            assert torch.equal(moved.flatten(1).sort(dim=1)[0], x.flatten(1).sort(dim=1)[0])
            assert (moved[..., ~inside] != black).any()  # they went outside, too


def test_experiences_are_turned_by_the_rotation(root):
    scenario = Rotated(width=8, experiences=3, rotation=90.0).build(0, root, "cpu")
    first, second, third = (tensors(scenario, "test", i)[0] for i in range(3))
    torch.testing.assert_close(second, first.rot90(1, (2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(third, first.rot90(2, (2, 3)), rtol=1e-3, atol=1e-3)


# Common settings


@pytest.mark.parametrize("family", ON_DIGITS)
@pytest.mark.parametrize("how", ["glorot", "glorot_zero_heads"])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_initial_weights_are_those_asked_for(root, family, how, network):
    made = FAMILIES[family](data="digits", width=9, initial_weights=how, network=network)
    bank = made.build(0, root, "cpu").model
    heads = {bank.blocks[path[-1]] for path in bank.paths}
    for block in bank.blocks.values():
        (layer,) = (m for m in block.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d))
        assert not layer.bias.any()
        weights = layer.weight.detach()
        kernel = weights[0, 0].numel()
        bound = math.sqrt(6 / (kernel * (weights.shape[0] + weights.shape[1])))
        if how == "glorot_zero_heads" and block in heads:
            assert not weights.any()
        else:
            assert 0.9 * bound < weights.abs().max() <= bound
            assert weights.std() == pytest.approx(bound / math.sqrt(3), rel=0.2)
    again, other = (made.build(seed, root, "cpu").model.state_dict() for seed in (0, 1))
    same = bank.state_dict()
    assert all(torch.equal(again[name], same[name]) for name in same)
    assert any(not torch.equal(other[name], same[name]) for name in same)


def test_whole_networks_draw_their_own_initial_weights():
    with pytest.raises(ValidationError, match="initial_weights is no setting of alexnet_like"):
        Split(network="alexnet_like", initial_weights="glorot")


@pytest.mark.parametrize("family", ON_DIGITS)
def test_epochs_are_passes_over_a_models_own_data(root, family):
    settings = FAMILIES[family](data="digits", width=8, steps=None, epochs=3, batch_size=50)
    scenario = settings.build(0, root, "cpu")
    for i, steps in enumerate(scenario.steps):
        assert steps == 3 * math.ceil(len(tensors(scenario, "train", i)[0]) / 50)


def test_a_choice_of_samples_is_the_same_for_every_seed(root):
    one, two = (two_models(root, seed=s, samples=200) for s in (0, 1))
    xs = [torch.cat([tensors(s, split, 0)[0] for split in SPLITS[:2]]) for s in (one, two)]
    assert len(xs[0]) == 200
    assert torch.equal(*xs)
    assert len(tensors(one, "test", 0)[0]) == len(load("digits", root).test_x)


@pytest.mark.parametrize("family", ON_DIGITS)
@pytest.mark.parametrize(("split", "count"), [("test", 90), ("validation", 60)])
def test_a_choice_of_other_samples_leaves_the_rest_alone(root, family, split, count):
    every, some = (
        FAMILIES[family](data="digits", width=8, **{f"{split}_samples": n}).build(0, root, "cpu")
        for n in (None, count)
    )
    for other in {*SPLITS} - {split}:
        for i in range(len(every.train)):
            assert torch.equal(tensors(every, other, i)[0], tensors(some, other, i)[0])
    sizes = [len(tensors(some, split, i)[0]) for i in range(len(some.test))]
    assert (sum(sizes) if family == "split" else sizes[0]) == count


def test_validation_samples_need_a_validation_split():
    with pytest.raises(ValueError, match="validation_samples needs a validation split"):
        TwoModels(validation=0, validation_samples=5)


@pytest.mark.parametrize("purpose", ["test", "validat"])
def test_an_experience_without_a_sample_to_evaluate_on_is_refused(root, purpose):
    setting = "test_samples" if purpose == "test" else "validation_samples"
    settings = Split(data="digits", experiences=5, **{setting: 1})
    with pytest.raises(UserError, match=rf"no sample to {purpose}.* on.*raise {setting}"):
        settings.build(0, root, "cpu")
