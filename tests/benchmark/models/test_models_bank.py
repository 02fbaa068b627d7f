"""The model bank and its building blocks."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.models.blocks import head, hidden_blocks

PATHS = (("x", "y", "a"), ("z", "y", "b"), ("x", "y", "c"))


@pytest.fixture
def bank():
    """Models 1 and 3 share block x, all share y; their heads have 2, 3 and 4 classes."""
    torch.manual_seed(0)
    blocks = {name: nn.Linear(5, 5) for name in ("x", "y", "z")}
    heads = {"a": nn.Linear(5, 2), "b": nn.Linear(5, 3), "c": nn.Linear(5, 4)}
    return ModelBank(blocks | heads, PATHS, 4)


def names(*blocks):
    return {f"blocks.{block}.{kind}" for block in blocks for kind in ("weight", "bias")}


@pytest.mark.parametrize("model", range(3))
def test_a_model_applies_its_blocks_in_order(bank, model):
    x = torch.randn(7, 5)
    expected = x
    for name in PATHS[model]:
        expected = bank.blocks[name](expected)
    assert torch.equal(bank(x, model), expected)


def test_a_batch_may_mix_the_models(bank):
    x, task = torch.randn(6, 5), torch.tensor([2, 0, 1, 0, 2, 1])
    mixed = bank(x, task)
    assert mixed.shape == (6, 4)
    for row, (sample, label) in enumerate(zip(x, task.tolist(), strict=True)):
        own = bank(sample[None], label)[0]
        torch.testing.assert_close(mixed[row, : len(own)], own)
        assert (mixed[row, len(own) :] == 0).all()


def test_mixed_batches_send_gradients_to_the_models_in_it_only(bank):
    bank(torch.randn(4, 5), torch.tensor([0, 0, 2, 2])).sum().backward()
    with_gradient = {name for name, p in bank.named_parameters() if p.grad is not None}
    assert with_gradient == names("x", "y", "a", "c")


def test_without_labels_all_models_answer(bank):
    x = torch.randn(3, 5)
    outputs = bank(x, None)
    assert set(outputs) == {0, 1, 2}
    assert all(torch.equal(outputs[i], bank(x, i)) for i in range(3))


def test_an_unknown_model_is_an_error(bank):
    with pytest.raises(IndexError):
        bank(torch.randn(3, 5), 3)


@pytest.mark.parametrize("model", range(3))
def test_parameters_of_a_model(bank, model):
    assert set(bank.parameters_of(model)) == names(*PATHS[model])


@pytest.mark.parametrize(("model", "shared"), [(0, ()), (1, ("y",)), (2, ("x", "y"))])
def test_shared_are_parameters_that_some_earlier_model_used(bank, model, shared):
    assert set(bank.shared_parameters_of(model)) == names(*shared)


def test_names_that_begin_alike_are_told_apart():
    bank = ModelBank({n: nn.Linear(2, 2) for n in ("a", "a_1", "a_10")}, [["a"], ["a_1"]], 2)
    assert set(bank.parameters_of(0)) == names("a")
    assert set(bank.parameters_of(1)) == names("a_1")


def test_adaptation_allocates_nothing(bank):
    before = copy.deepcopy(bank.state_dict())
    known = set(bank.known_train_tasks_labels)
    for training in (True, False):
        bank.train(training)
        bank.adaptation(SimpleNamespace(classes_in_this_experience=[99], task_labels=[7]))
    assert bank.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in bank.state_dict().items())
    assert (bank.max_class_label, bank.known_train_tasks_labels) == (4, known)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11)])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_blocks_and_head_make_a_network(kind, shape, depth):
    blocks = hidden_blocks(kind, shape, depth, 6, "relu")
    assert len(blocks) == depth
    network = nn.Sequential(*blocks, head(kind, 6, 3))
    assert network(torch.randn(5, *shape)).shape == (5, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_are_channels_last_and_what_layers_in_a_row_are(channels):
    # With one channel of images, a convolution forgets how its input lies in memory.
    blocks = hidden_blocks("cnn", (channels, 9, 11), 3, 6, "relu")
    fast = nn.Sequential(*blocks, head("cnn", 6, 3)).double()
    plain = nn.Sequential(*(nn.Sequential(*block) for block in blocks), fast[-1])
    x = torch.randn(5, channels, 9, 11, dtype=torch.double)
    y = x
    for block in blocks:
        y = block(y)
        assert y.is_contiguous(memory_format=torch.channels_last)
    results = []
    for network in (fast, plain):
        network.zero_grad()
        y = network(x)
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad for p in network.parameters())])
    assert plain.state_dict().keys() == fast.state_dict().keys()
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


def test_blocks_are_initialised_from_the_global_generator():
    def first_weight(seed):
        torch.manual_seed(seed)
        return hidden_blocks("mlp", (1, 4, 4), 1, 6, "relu")[0][1].weight

    assert torch.equal(first_weight(1), first_weight(1))
    assert not torch.equal(first_weight(1), first_weight(2))


def test_several_models_run_what_they_have_in_common_once(bank):
    calls = []
    for name, block in bank.blocks.items():
        block.register_forward_hook(lambda *_, name=name: calls.append(name))
    x, labels = torch.randn(7, 5), [0, 1, 2, 0]
    found = bank.forward_each(x, labels)
    assert sorted(calls) == sorted("xya" + "zyb" + "c")
    for label, own in zip(labels, found, strict=True):
        assert torch.equal(own, bank(x, label))
    assert bank.forward_each(x, []) == []


def test_a_bank_that_runs_its_models_in_another_way_runs_each(bank):
    class Negative(ModelBank):
        def forward_single_task(self, x, task_label):
            return -super().forward_single_task(x, task_label)

    class AlsoNegative(ModelBank):
        def forward(self, x, task_labels):
            return -super().forward(x, task_labels)

    x = torch.randn(7, 5)
    for kind in (Negative, AlsoNegative):
        negative = kind(dict(bank.blocks), PATHS, 4)
        for label, own in enumerate(negative.forward_each(x, [0, 1, 2])):
            assert torch.equal(own, -bank(x, label))


def test_a_head_that_changes_its_input_in_place_harms_no_other(bank):
    for name in "abc":
        bank.blocks[name] = nn.Sequential(nn.ELU(inplace=True), bank.blocks[name])
    x = torch.randn(7, 5)
    with torch.no_grad():
        expected = [bank(x, label) for label in range(3)]
        found = bank.forward_each(x, [0, 1, 2])
    assert all(map(torch.equal, found, expected))
