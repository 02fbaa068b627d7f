"""Mini-batches of tensors in memory."""

import pytest
import torch

from palimpsest.benchmark.training.template import Batches

N, BATCH = 23, 5
X = torch.arange(N).float()[:, None]
Y = torch.arange(N) % 3


def batches(**settings):
    return list(Batches((X, Y, 7), BATCH, **settings))


def samples(drawn):
    return [int(value) for x, _, _ in drawn for value in x[:, 0]]


def test_without_steps_it_is_one_pass_in_order():
    drawn = batches()
    assert samples(drawn) == list(range(N))
    assert [len(x) for x, _, _ in drawn] == [5, 5, 5, 5, 3]


def test_every_pass_has_every_sample_once():
    drawn = batches(steps=15, seed=1)
    for start in (0, 5, 10):
        assert sorted(samples(drawn[start : start + 5])) == list(range(N))


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 12])
def test_the_number_of_steps_is_exact(steps):
    assert len(batches(steps=steps)) == len(Batches((X, Y, 7), BATCH, steps)) == steps


def test_passes_are_shuffled_differently():
    drawn = samples(batches(steps=10))
    assert drawn[:N] != list(range(N))
    assert drawn[:N] != drawn[N:]


def test_the_seed_decides_the_order():
    assert samples(batches(steps=8, seed=3)) == samples(batches(steps=8, seed=3))
    assert samples(batches(steps=8, seed=3)) != samples(batches(steps=8, seed=4))


def test_more_steps_begin_with_the_same_batches():
    assert samples(batches(steps=12))[:30] == samples(batches(steps=7))[:30]


def test_inputs_targets_and_labels_stay_together():
    task = torch.arange(N) * 10
    for steps in (None, 9):
        for x, y, t in Batches((X, Y, task), BATCH, steps):
            assert torch.equal(y, x[:, 0].long() % 3)
            assert torch.equal(t, x[:, 0].long() * 10)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches(steps=9)
    assert torch.equal(torch.get_rng_state(), before)
