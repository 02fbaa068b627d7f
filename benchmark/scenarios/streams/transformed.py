"""Data sets derived from others: padded, rotated, or with permuted pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.streams.parts import DataSet, Part

# Interpolation copies its input with a mask, so that all of CIFAR at once would take gigabytes.
_IMAGES_AT_ONCE = 10_000


def changed(base: DataSet, change: str, seed: int, model: int, degrees: float) -> Part:
    """Return the data of a model, derived from a data set.

    Args:
        base: The data set.
        change: ``same``, ``rotated`` by ``degrees``, or ``permuted`` by a permutation of the
            pixels that the run's seed and the model decide.
        seed: The run's seed.
        model: Which model's data these are.
        degrees: Counter-clockwise.
    """
    if change == "same":
        return base.part
    _, height, width = base.input_shape
    if change == "rotated":
        moves = moves_pixels(degrees, height, width)
        transform = base.part.move_pixels if moves else base.part.map_inputs
        return transform(lambda x: rotate(x, degrees))
    generator = torch.Generator().manual_seed(derive(seed, "scenario", model))
    permutation = torch.randperm(height * width, generator=generator)
    return base.part.move_pixels(lambda x: permute_pixels(x, permutation.to(x.device)))


def padded(base: DataSet, padding: int) -> DataSet:
    """Return a data set whose images have black around them; bytes stay bytes."""
    if padding == 0:
        return base
    channels, height, width = base.input_shape
    shape = (channels, height + 2 * padding, width + 2 * padding)
    return DataSet(base.part.move_pixels(lambda x: pad(x, padding)), shape, base.n_classes)


def pad(x: Tensor, padding: int) -> Tensor:
    """Surround images with black: 0 of bytes, else the smallest value of each channel in ``x``.

    Args:
        x: Images, shape (N, C, H, W), uint8 or float.
        padding: On each side, in pixels.

    Returns:
        The padded images, shape (N, C, H + 2 * padding, W + 2 * padding).
    """
    count, channels, height, width = x.shape
    padded = x.new_zeros((count, channels, height + 2 * padding, width + 2 * padding))
    if x.is_floating_point() and count > 0:
        padded += x.amin(dim=(0, 2, 3), keepdim=True)
    padded[..., padding : padding + height, padding : padding + width] = x
    return padded


def rotate(x: Tensor, degrees: float) -> Tensor:
    """Rotate images counter-clockwise about their centre and keep their shape.

    Multiples of 90 degrees that keep the shape move pixels exactly; every other angle
    interpolates bilinearly and fills the corners with the background, which is taken to be the
    smallest value of each channel over all of ``x``.

    Args:
        x: Images, shape (N, C, H, W).
        degrees: The angle, in degrees; any sign and size.

    Returns:
        The rotated images, shape (N, C, H, W).
    """
    height, width = x.shape[-2:]
    if moves_pixels(degrees, height, width):
        return torch.rot90(x, int(degrees // 90), dims=(-2, -1))

    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    if len(x) == 0:
        return x
    background = x.amin(dim=(0, 2, 3)).tolist()
    return torch.cat(
        [
            functional.rotate(
                part, degrees, interpolation=InterpolationMode.BILINEAR, fill=background
            )
            for part in torch.split(x, _IMAGES_AT_ONCE)
        ]
    )


def moves_pixels(degrees: float, height: int, width: int) -> bool:
    """Whether `rotate` moves pixels exactly, and computes no new ones."""
    quarters, rest = divmod(degrees, 90)
    return rest == 0 and (height == width or quarters % 2 == 0)


def permute_pixels(x: Tensor, permutation: Tensor) -> Tensor:
    """Move the pixels of every image to other places, the same in each image and channel.

    The pixel at position p of the result (rows first) is the one at ``permutation[p]`` of ``x``.

    Args:
        x: Images, shape (N, C, H, W).
        permutation: A permutation of 0 .. H * W - 1, int64, shape (H * W,).

    Returns:
        The permuted images, shape (N, C, H, W).
    """
    return x.flatten(start_dim=2)[..., permutation].reshape(x.shape)
