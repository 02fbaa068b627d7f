"""The reservoir: uniform over everything it was offered, whatever came in which batch."""

import numpy as np
import pytest
import torch
from programs import make_data
from scipy.stats import chi2

from palimpsest.strategies.memory.reservoir import Reservoir

STREAM, SIZE, TRIALS = 23, 6, 3000


def filled(seed, batches=(1, 4, 9, 2, 7), size=SIZE):
    """Return a reservoir that was offered the numbers from 0 on."""
    reservoir = Reservoir(size, np.random.default_rng(seed))
    start = 0
    for count in batches:
        reservoir.offer({"x": torch.arange(start, start + count)})
        start += count
    return reservoir


def kept(reservoir):
    return reservoir.rows["x"][: len(reservoir)].tolist()


def by_definition(seed, stream, size=SIZE):
    """Algorithm R, one item after another."""
    generator, slots = np.random.default_rng(seed), []
    for t in range(stream):
        if t < size:
            slots.append(t)
            continue
        j = generator.integers(0, t, endpoint=True)
        if j < size:
            slots[j] = t
    return slots


def improbable(counts, share, trials):
    """Whether counts of items in samples of a fixed size are too far from their expectation.

    The counts of a sample sum to its size, hence the factor and one degree of freedom less.
    """
    n = len(counts)
    off = ((np.asarray(counts) - trials * share) ** 2).sum()
    statistic = off * (n - 1) / (n * trials * share * (1 - share))
    return bool(statistic > chi2.ppf(0.999, n - 1))


def inclusions(make):
    """Return how often each item is kept, and how often each pair."""
    single, pairs = np.zeros(STREAM), np.zeros((STREAM, STREAM))
    for seed in range(TRIALS):
        items = kept(make(seed))
        assert len(set(items)) == SIZE
        single[items] += 1
        pairs[np.ix_(items, items)] += 1
    return single, pairs[np.triu_indices(STREAM, 1)]


def test_every_item_and_every_pair_is_kept_with_the_same_probability():
    single, pairs = inclusions(filled)
    assert not improbable(single, SIZE / STREAM, TRIALS)
    both = SIZE * (SIZE - 1) / (STREAM * (STREAM - 1))
    deviation = np.abs(pairs - TRIALS * both) / np.sqrt(TRIALS * both * (1 - both))
    assert deviation.max() < 4.5  # of 253 normal numbers, in 1 of 600 cases


def test_it_is_algorithm_r_one_item_after_another():
    for seed in range(50):
        assert kept(filled(seed, (STREAM,))) == by_definition(seed, STREAM)


def test_it_does_not_matter_what_came_in_which_batch():
    for seed in range(50):
        assert kept(filled(seed, [1] * STREAM)) == kept(filled(seed, (20, 3)))


FORGOTTEN = 9
"""Of the first samples, after so many more."""


def forgetful(seed, size=SIZE):
    """Return a reservoir that was offered all numbers, and forgot the first ones in between."""
    reservoir = filled(seed, (FORGOTTEN, 3), size)
    reservoir.forget(reservoir.rows["x"][: len(reservoir)] < FORGOTTEN, FORGOTTEN)
    assert all(item >= FORGOTTEN for item in kept(reservoir))
    for item in range(FORGOTTEN + 3, STREAM):
        reservoir.offer({"x": torch.tensor([item])})
        assert len({*kept(reservoir)}) == len(reservoir) <= size
    return reservoir


def test_what_is_not_forgotten_stays_equally_likely():
    counts = np.zeros(STREAM)
    for seed in range(TRIALS):
        items = kept(forgetful(seed))
        assert len(items) == SIZE  # 11 have come since for the 9 that are gone
        counts[items] += 1
    assert not counts[:FORGOTTEN].any()
    left = STREAM - FORGOTTEN
    assert not improbable(counts[FORGOTTEN:], SIZE / left, TRIALS)


def test_it_does_not_matter_in_which_batch_what_is_gone_is_made_up_for():
    for seed in range(20):
        own = filled(seed, (FORGOTTEN, 3))
        own.forget(own.rows["x"][: len(own)] < FORGOTTEN, FORGOTTEN)
        own.offer({"x": torch.arange(FORGOTTEN + 3, STREAM)})
        assert kept(own) == kept(forgetful(seed))


def test_where_all_were_kept_all_that_come_are():
    assert kept(forgetful(0, size=50)) == [*range(FORGOTTEN, STREAM)]


def test_a_reservoir_that_forgot_all_begins_anew():
    reservoir = filled(0)
    reservoir.forget(torch.ones(SIZE, dtype=torch.bool), STREAM)
    assert len(reservoir) == len(reservoir.rows["x"]) == 0
    reservoir.offer({"x": torch.arange(STREAM, 2 * STREAM)})
    assert len({*kept(reservoir)}) == SIZE


def test_rows_stay_together_and_keep_their_types():
    (x, y) = make_data(1)[0]
    reservoir = Reservoir(9, np.random.default_rng(0))
    for part in range(0, 40, 8):
        rows = slice(part, part + 8)
        number = torch.arange(part, part + 8)
        reservoir.offer({"x": x[rows], "y": y[rows], "n": number, "b": number.to(torch.uint8)})
    held = reservoir.rows
    assert torch.equal(held["x"], x[held["n"]])
    assert torch.equal(held["y"], y[held["n"]])
    assert held["b"].dtype == torch.uint8
    assert reservoir.seen == 40


def test_what_is_offered_is_copied():
    x = torch.zeros(4, 2)
    reservoir = Reservoir(4, np.random.default_rng(0))
    reservoir.offer({"x": x})
    x += 1
    assert reservoir.rows["x"].abs().max() == 0


def test_it_has_no_more_room_than_it_needs():
    reservoir = Reservoir(10**9, np.random.default_rng(0))
    for _ in range(20):
        reservoir.offer({"x": torch.zeros(10, 3)})
    assert len(reservoir) == 200
    assert len(reservoir.rows["x"]) < 400
    assert all(len(filled(seed).rows["x"]) == SIZE for seed in range(5))


def test_draws_are_different_items_uniformly():
    reservoir = filled(0)
    drawn = [reservoir.draw(2)["x"].tolist() for _ in range(3000)]
    assert all(a != b for a, b in drawn)
    items = kept(reservoir)
    counts = [sum(item in pair for pair in drawn) for item in items]
    assert not improbable(counts, 2 / SIZE, 3000)


@pytest.mark.parametrize("count", [SIZE, SIZE + 1, 1000])
def test_where_it_has_fewer_all_are_drawn(count):
    reservoir = filled(0)
    assert sorted(reservoir.draw(count)["x"].tolist()) == sorted(kept(reservoir))


def test_nothing_is_drawn_from_an_empty_one():
    with pytest.raises(ValueError, match="empty"):
        Reservoir(3, np.random.default_rng(0)).draw(1)
