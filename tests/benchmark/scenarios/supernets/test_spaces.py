"""The spaces of architectures: how many there are, what they are, and how far apart."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from palimpsest.benchmark.search.supernets.spaces import (
    ACTIVATIONS,
    ConvolutionalSpace,
    MicroSpace,
    RecurrentSpace,
)

SMALL = {
    "convolutional": (ConvolutionalSpace(3), 4**3),
    "recurrent": (RecurrentSpace(3, "tanh"), 4**2 * 2),
    "recurrent, all chosen": (RecurrentSpace(3), 4**3 * 2),
    "micro": (MicroSpace(1), (2 * 5 * 2 * 5) ** 2),
}
small = pytest.mark.parametrize("space, size", SMALL.values(), ids=SMALL)


@small
def test_all_are_there_once_and_in_order(space, size):
    every = list(space.all())
    assert space.size == size == len(every)
    assert all(a < b for a, b in pairwise(every))
    for a in every:
        space.check(a)


@small
def test_a_reader_sees_different_texts(space, size):
    assert len({space.text(a) for a in space.all()}) == size


def test_the_published_sizes():
    assert RecurrentSpace(12).size == 4**12 * 39916800  # 11!
    assert len(RecurrentSpace(12).options) == 23
    assert ConvolutionalSpace(4).size == 4**6
    micro = MicroSpace(5)
    assert len(micro.options) == 2 * 4 * 5
    assert micro.size == ((2 * 3 * 4 * 5 * 6) ** 2 * 5**10) ** 2


def test_draws_are_uniform_and_repeatable():
    space = RecurrentSpace(3, "tanh")
    generator = np.random.default_rng(5)
    drawn = [space.sample(generator) for _ in range(6400)]
    times = Counter(drawn)
    assert times.keys() == set(space.all())
    # Chi-squared of 31 degrees of freedom: above 61 once in a thousand seeds.
    assert sum((count - 200) ** 2 / 200 for count in times.values()) < 61
    again = np.random.default_rng(5)
    assert [space.sample(again) for _ in range(10)] == drawn[:10]
    assert {type(taken) for taken in drawn[0]} == {int}


@pytest.mark.parametrize(
    "wrong, told",
    [
        ((0, 1, 0), "has 3 decisions; expected 4"),
        ((0, 4, 0, 0), "decision 1 is 4; expected a whole number from 0 to 3"),
        ((1, 0, 0, 0), "decision 0 is 1; expected a whole number from 0 to 0"),
        ((0, 0, -1, 0), "decision 2 is -1; expected a whole number from 0 to 1"),
        ((0, 0, 0, True), "decision 3 is True"),
        ((0, 0, 0, 1.0), "decision 3 is 1.0"),
    ],
)
def test_what_is_no_architecture_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        RecurrentSpace(3, "tanh").check(wrong)


def test_texts():
    assert ConvolutionalSpace(3).text((0, 1, 3)) == "0-1 identity, 0-2 avg_pool3x3, 1-2 conv3x3"
    assert RecurrentSpace(3).text((2, 0, 1, 1, 3)) == "0 identity, 1 relu(0), 2 sigmoid(1)"
    assert RecurrentSpace(2, "sigmoid").text((0, 0)) == "0 sigmoid, 1 tanh(0)"
    assert MicroSpace(1).text((0, 0, 1, 4, 1, 2, 1, 3)) == (
        "normal: 2 identity(0) + depthwise_conv5x5(1); "
        "reduction: 2 max_pool3x3(1) + depthwise_conv3x3(1)"
    )


def test_a_recurrent_tree_is_that_of_the_decisions():
    tree = RecurrentSpace(5).tree((3, 0, 1, 0, 2, 1, 0, 1, 3))
    assert [ACTIVATIONS[f] for f in tree.activations] == [
        "sigmoid",
        "relu",
        "identity",
        "tanh",
        "sigmoid",
    ]
    assert tree.edges == ((0, 1), (0, 2), (1, 3), (1, 4))
    assert tree.leaves == (2, 3, 4)
    assert RecurrentSpace(1).tree((2,)).leaves == (0,)


def test_distances_by_hand():
    space = ConvolutionalSpace(3)
    assert space.distance((0, 1, 2), (0, 1, 2)) == 0
    assert space.distance((0, 1, 2), (0, 2, 1)) == pytest.approx(2 / 3)
    recurrent = RecurrentSpace(3)  # parent and activation are one choice
    assert recurrent.distance((0, 0, 1, 0, 1), (1, 0, 1, 1, 1)) == pytest.approx(2 / 3)
    fixed = RecurrentSpace(3, "tanh")
    assert fixed.distance((0, 1, 0, 1), (0, 1, 1, 1)) == pytest.approx(1 / 2)
    micro = MicroSpace(1)
    a, exchanged = (0, 1, 1, 2, 0, 0, 0, 0), (1, 2, 0, 1, 0, 0, 0, 0)
    assert micro.distance(a, exchanged) == 0
    twice, once = (0, 1, 0, 1, 0, 0, 0, 0), (0, 1, 1, 1, 0, 0, 0, 0)
    assert micro.distance(twice, once) == pytest.approx(1 / 4)
    assert micro.distance((0, 0, 0, 0, 1, 1, 1, 1), (1, 1, 1, 1, 0, 0, 0, 0)) == 1


@pytest.mark.parametrize("space", [ConvolutionalSpace(4), RecurrentSpace(6), MicroSpace(3)])
def test_distances_are_symmetric_and_within_bounds(space):
    generator = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = (space.sample(generator) for _ in range(3))
        assert space.distance(a, a) == 0
        assert 0 <= space.distance(a, b) == space.distance(b, a) <= 1
        assert space.distance(a, c) <= space.distance(a, b) + space.distance(b, c) + 1e-12
