"""Colour images, augmented by a hand-written loop, and by torchvision as others do."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.utils import as_classification_dataset
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor

from palimpsest.benchmark.data.formats.pixels import Pixels

_PADDING = 4


def cropped_and_flipped(x: Tensor) -> Tensor:
    """Return images (N, C, H, W), each cropped after padding and perhaps mirrored, as one batch."""
    n, _, height, width = x.shape
    padded = functional.pad(x, [_PADDING] * 4)
    top, left = torch.randint(2 * _PADDING + 1, (2, n, 1), device=x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    samples = torch.arange(n, device=x.device)[:, None, None]
    x = padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]]
    x = x.permute(0, 3, 1, 2).contiguous()
    return torch.where(torch.rand(n, 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)


class _Images(Dataset[Any]):
    """Images and labels as torchvision's CIFAR10 has them."""

    def __init__(self, data: np.ndarray[Any, Any], targets: list[int]) -> None:
        self.data, self.targets = data, targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.data[index]), self.targets[index]


def stock_images(images: Pixels, order: Tensor, targets: Tensor, augmented: bool) -> Any:
    """Return a data set of Avalanche's, transformed image by image as its users do."""
    pixels = images.bytes_of(order.to(images.device)).permute(0, 2, 3, 1).cpu().numpy()
    mean, std = ((each.flatten() / 255).tolist() for each in (images.mean, images.std))
    changes = [RandomCrop(pixels.shape[1], padding=_PADDING), RandomHorizontalFlip()]
    plain = [ToTensor(), Normalize(mean, std)]
    transform = Compose([*changes, *plain] if augmented else plain)
    groups = {"train": (transform, None), "eval": (transform, None)}
    return as_classification_dataset(_Images(pixels, targets.tolist()), transform_groups=groups)
