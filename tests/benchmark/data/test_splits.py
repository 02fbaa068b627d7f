from __future__ import annotations

import pytest
import torch

from palimpsest.benchmark.data import splits


def labels() -> torch.Tensor:
    y = torch.tensor([0] * 100 + [1] * 50 + [2] * 7 + [3] * 1)
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]


def test_the_parts_are_sorted_disjoint_and_complete():
    y = labels()
    train, validation = splits.validation_split(y, 0.1)
    assert train.dtype == validation.dtype == torch.int64
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(len(y)))
    for part in (train, validation):
        assert torch.equal(part, part.sort().values)


def test_each_class_gives_its_share_but_at_least_one_and_never_all():
    y = labels()
    _, validation = splits.validation_split(y, 0.05)
    assert y[validation].bincount(minlength=4).tolist() == [5, 2, 1, 0]
    train, _ = splits.validation_split(y, 0.99)
    assert y[train].bincount(minlength=4).tolist() == [1, 1, 1, 1]


def test_no_fraction_no_validation():
    y = labels()
    train, validation = splits.validation_split(y, 0.0)
    assert torch.equal(train, torch.arange(len(y)))
    assert validation.shape == (0,)
    assert validation.dtype == torch.int64


def test_the_split_ignores_global_seeds():
    torch.manual_seed(1)
    first = splits.validation_split(labels(), 0.3)
    torch.manual_seed(2)
    second = splits.validation_split(labels(), 0.3)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_split_is_the_same_on_every_machine():
    _, validation = splits.validation_split(torch.tensor([0, 1] * 10), 0.2)
    assert validation.tolist() == [3, 5, 6, 18]


def test_the_test_set_is_a_fifth_and_differs_from_the_validation_set():
    y = torch.tensor([0, 1] * 50)
    train, test = splits.train_test_split(y)
    assert y[test].bincount().tolist() == [10, 10]
    assert len(train) == 80
    assert not torch.equal(test, splits.validation_split(y, 0.2)[1])


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        splits.validation_split(labels(), fraction)
