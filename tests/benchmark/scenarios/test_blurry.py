"""Blurry boundaries: neighbouring experiences exchange a share of their training samples."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.scenarios.families.permuted import Permuted
from palimpsest.benchmark.scenarios.families.rotated import Rotated
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.streams.blurring import exchanged
from palimpsest.benchmark.scenarios.streams.parts import Part

NOWHERE = Path("/nowhere")
SETTINGS = {
    "split": Split(width=4, incremental="class"),
    "split_domain": Split(width=4, incremental="domain"),
    "permuted": Permuted(width=4, experiences=3),
    "rotated": Rotated(width=4, experiences=3, rotation=30),
}


def samples_of(scenario, split, i):
    x, y, _ = getattr(scenario, split)[i].dataset.tensors
    return Counter((x_.numpy().tobytes(), int(y_)) for x_, y_ in zip(x, y, strict=True))


def blurred(settings, share):
    return type(settings).model_validate(settings.model_dump() | {"blurry": share})


@pytest.mark.parametrize("name", SETTINGS)
def test_neighbours_exchange_the_share_and_all_else_stays(name):
    settings, share = SETTINGS[name], 0.4
    pure = settings.build(3, NOWHERE, "cpu")
    mixed = blurred(settings, share).build(3, NOWHERE, "cpu")
    count = len(pure.train)
    before = [samples_of(pure, "train", i) for i in range(count)]
    after = [samples_of(mixed, "train", i) for i in range(count)]
    assert sum(before, Counter()) == sum(after, Counter())
    sizes = [each.total() for each in before]
    for i in range(count):
        assert after[i].total() == sizes[i]
        for j in {i - 1, i + 1} & set(range(count)):
            # What came: counted by hand as samples that were not in i before, and were in j.
            came = (after[i] - before[i]) & before[j]
            assert came.total() == round(share / 2 * min(sizes[i], sizes[j]))
        stayed = (after[i] & before[i]).total()
        neighbours = sum(
            round(share / 2 * min(sizes[i], sizes[j])) for j in (i - 1, i + 1) if 0 <= j < count
        )
        assert stayed == sizes[i] - neighbours
        for split in ("validation", "test", "curve_data"):
            assert samples_of(pure, split, i) == samples_of(mixed, split, i)
    assert pure.steps == mixed.steps
    for one, other in zip(pure.model.parameters(), mixed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_seed_decides_which_samples_move():
    settings = blurred(SETTINGS["split"], 0.3)
    first, again, other = (settings.build(seed, NOWHERE, "cpu") for seed in (1, 1, 2))
    for i in range(5):
        assert samples_of(first, "train", i) == samples_of(again, "train", i)
        assert samples_of(first, "train", i) != samples_of(other, "train", i)


def test_images_stay_bytes():
    for name in ("split", "permuted"):
        scenario = blurred(SETTINGS[name], 0.3).build(0, NOWHERE, "cpu")
        assert all(isinstance(e.dataset.samples[0], Pixels) for e in scenario.train)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 0.999])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 2), (7, 1, 9, 4), (6, 6)])
def test_any_sizes_and_shares_lose_no_sample(sizes, share):
    empty = (torch.zeros(0, 1), torch.zeros(0, dtype=torch.long))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    parts = [
        Part((torch.arange(s, s + n).float()[:, None], torch.arange(s, s + n)), empty, empty)
        for s, n in zip(starts, sizes, strict=True)
    ]
    found = exchanged(parts, share, seed=5)
    assert [len(part.train[0]) for part in found] == list(sizes)
    assert sorted(torch.cat([part.train[1] for part in found]).tolist()) == list(range(sum(sizes)))
    for part in found:
        assert torch.equal(part.train[0][:, 0].long(), part.train[1])


@pytest.mark.parametrize("family", [Split, Permuted, Rotated])
def test_a_head_for_each_experience_is_refused(family):
    with pytest.raises(ValidationError, match="blurry needs one head for all experiences"):
        family(incremental="task", blurry=0.1)
    assert family(incremental="task", blurry=0).blurry == 0
