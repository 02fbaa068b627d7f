from __future__ import annotations

import pytest
import torch

from palimpsest.benchmark.scenarios.streams import transformed as transforms


def pictures(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_half_a_turn_twice_is_the_identity():
    x = pictures(3, 2, 5, 7)
    assert torch.equal(transforms.rotate(transforms.rotate(x, 180), 180), x)


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, 1), (-90, 3), (270, 3), (450.0, 1)])
def test_quarter_turns_move_pixels_exactly(degrees, quarters):
    x = pictures(3, 2, 6, 6)
    assert torch.equal(transforms.rotate(x, degrees), torch.rot90(x, quarters, dims=(2, 3)))


def test_other_angles_turn_the_same_way_as_quarter_turns():
    x = torch.zeros(1, 1, 41, 41)
    x[..., 5:9, 18:23] = 1.0
    nearly, exactly = transforms.rotate(x, 89.9), transforms.rotate(x, 90)
    assert (nearly - exactly).abs().mean() < 0.01
    assert exactly.abs().mean() > 0.01


def test_the_corners_show_the_background_of_each_channel():
    x = pictures(4, 2, 9, 9).abs() + torch.tensor([1.0, -5.0]).view(1, 2, 1, 1)
    turned = transforms.rotate(x, 45)
    for channel in (0, 1):
        expected = x[:, channel].min().expand(4)
        torch.testing.assert_close(turned[:, channel, 0, 0], expected)


def test_the_whole_set_turns_as_its_parts_do(monkeypatch):
    x = pictures(7, 1, 8, 8)
    whole = transforms.rotate(x, 30)
    monkeypatch.setattr(transforms, "_IMAGES_AT_ONCE", 3)
    torch.testing.assert_close(transforms.rotate(x, 30), whole)


def test_padding_is_black_and_the_images_lie_in_its_middle():
    x = pictures(3, 2, 4, 5).abs() + torch.tensor([1.0, -5.0]).view(1, 2, 1, 1)
    padded = transforms.pad(x, 2)
    assert padded.shape == (3, 2, 8, 9)
    assert torch.equal(padded[..., 2:6, 2:7], x)
    padded[..., 2:6, 2:7] = x.amin(dim=(0, 2, 3)).view(1, 2, 1, 1)
    for channel in (0, 1):
        assert padded[:, channel].unique().tolist() == [x[:, channel].min()]
    stored = transforms.pad(torch.full((2, 1, 3, 3), 7, dtype=torch.uint8), 1)
    assert stored.dtype == torch.uint8
    assert stored[1, 0].tolist() == [[0] * 5, *[[0, 7, 7, 7, 0]] * 3, [0] * 5]
    assert transforms.pad(x[:0], 2).shape == (0, 2, 8, 9)


def test_the_inverse_permutation_restores_the_images():
    x = pictures(3, 2, 4, 5)
    permutation = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    permuted = transforms.permute_pixels(x, permutation)
    assert not torch.equal(permuted, x)
    assert torch.equal(transforms.permute_pixels(permuted, permutation.argsort()), x)


def test_one_permutation_serves_every_image_and_channel():
    x = torch.arange(6.0).view(1, 1, 2, 3).expand(4, 3, 2, 3)
    permutation = torch.tensor([5, 3, 0, 1, 2, 4])
    permuted = transforms.permute_pixels(x, permutation)
    assert torch.equal(permuted, permutation.float().view(1, 1, 2, 3).expand(4, 3, 2, 3))
