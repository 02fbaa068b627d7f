"""Images that stay bytes in memory and become floats a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from palimpsest.benchmark.data.mapped import room_for

_IMAGES_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images as bytes; indexing returns them normalised, as float32.

    They can be read like a tensor (``len``, ``shape``, ``device``, ``images[chosen]``), and take a
    quarter of the memory of floats. Subsets share the stored images.

    Attributes:
        stored: uint8, shape (M, C, H, W). Others may hold the same tensor: never write to it.
        mean: Subtracted from each channel, float32, shape (1, C, 1, 1): that of the training
            images.
        std: What the difference is divided by, likewise: their standard deviation.
        rows: Which of the stored images these are, int64, shape (N,); ``None`` for all.
    """

    stored: Tensor
    mean: Tensor
    std: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.stored if self.rows is None else self.rows)

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """Return images, normalised: (n, C, H, W), or (C, H, W) for a number."""
        return self.normalise(self.bytes_of(index))

    @property
    def shape(self) -> torch.Size:
        """The shape of all images, (N, C, H, W)."""
        return torch.Size((len(self), *self.stored.shape[1:]))

    @property
    def ndim(self) -> int:
        """The number of dimensions of all images: 4."""
        return self.stored.ndim

    @property
    def device(self) -> torch.device:
        """The device that they are on."""
        return self.stored.device

    def size(self, dimension: int) -> int:
        """Return the size of a dimension, as a tensor does."""
        return self.shape[dimension]

    def bytes_of(self, index: Tensor | slice | int) -> Tensor:
        """Return images as bytes, uint8."""
        chosen = index if self.rows is None else self.rows[index]
        if isinstance(chosen, Tensor) and chosen.ndim == 1 and chosen.dtype == torch.int64:
            return self.stored.index_select(0, chosen)  # much faster than [chosen], for bytes
        return self.stored[chosen]

    def normalise(self, images: Tensor) -> Tensor:
        """Return images with pixels from 0 to 255 as these are normalised.

        Args:
            images: Of any type, shape (n, C, H, W) or (C, H, W); it is left alone.

        Returns:
            float32, of the same shape.
        """
        mean, std = (self.mean, self.std) if images.ndim == 4 else (self.mean[0], self.std[0])
        return images.to(torch.float32, copy=True).sub_(mean).div_(std)

    def unit(self) -> Self:
        """Return the images with brightness from 0 to 1, whatever their mean and deviation."""
        mean, std = torch.zeros_like(self.mean), torch.full_like(self.std, 255)
        return replace(self, mean=mean, std=std)

    def subset(self, chosen: Tensor) -> Self:
        """Return some of the images, without copying them."""
        if chosen.dtype == torch.bool:
            chosen = chosen.nonzero()[:, 0]
        rows = chosen if self.rows is None else self.rows[chosen]
        return replace(self, rows=rows)

    def moved(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return images whose pixels a function has moved; it must compute no new ones.

        Args:
            function: Of uint8 images (n, C, H, W), of any number of them; it moves the pixels of
                each in the same way, and may add others.
        """
        if self.device.type != "cpu":
            return replace(self, stored=function(self.bytes_of(slice(None))), rows=None)
        stored = room_for((len(self), *function(self.bytes_of(slice(0, 0))).shape[1:]))
        for start in range(0, len(self), _IMAGES_AT_ONCE):
            part = slice(start, start + _IMAGES_AT_ONCE)
            stored[part] = function(self.bytes_of(part))
        return replace(self, stored=stored, rows=None)

    def to(self, device: torch.device | str) -> Self:
        """Return the images on a device."""
        rows = None if self.rows is None else self.rows.to(device)
        tensors = (self.stored.to(device), self.mean.to(device), self.std.to(device))
        return type(self)(*tensors, rows)

    def joined(self, other: Self) -> Self | None:
        """Return these images and then others; ``None`` if they are normalised differently."""
        if not (torch.equal(self.mean, other.mean) and torch.equal(self.std, other.std)):
            return None
        if self.stored is other.stored:
            return replace(self, rows=torch.cat([self._numbers(), other._numbers()]))
        if self.device.type != "cpu":
            stored = torch.cat([self.bytes_of(slice(None)), other.bytes_of(slice(None))])
            return replace(self, stored=stored, rows=None)
        stored = room_for((len(self) + len(other), *self.stored.shape[1:]))
        for images, first in ((self, 0), (other, len(self))):
            for start in range(0, len(images), _IMAGES_AT_ONCE):
                some = images.bytes_of(slice(start, start + _IMAGES_AT_ONCE))
                stored[first + start : first + start + len(some)] = some
        return replace(self, stored=stored, rows=None)

    def _numbers(self) -> Tensor:
        if self.rows is not None:
            return self.rows
        return torch.arange(len(self.stored), device=self.device)


Images = TypeVar("Images", Tensor, Pixels)


@dataclass(frozen=True, eq=False)
class ImageData(Generic[Images]):
    """A data set: its images as bytes, and with `Pixels`, how they are normalised.

    Others may hold the same tensors: never write to them.

    Attributes:
        train_x: Images to train on, uint8, shape (N, C, H, W).
        train_y: Their classes, int64, shape (N,).
        test_x: Images to test on, (M, C, H, W).
        test_y: Their classes, int64, shape (M,).
        classes: The names of the classes; label i is ``classes[i]``.
    """

    train_x: Images
    train_y: Tensor
    test_x: Images
    test_y: Tensor
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self.train_x.shape[1:]
        return channels, height, width

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)


Inputs = Tensor | Pixels
"""Samples of any kind, the first dimension counting them; indexing returns a tensor."""


def joined(one: Inputs, other: Inputs) -> Inputs:
    """Return samples and then others: as `Pixels` where both are, normalised alike."""
    both = one.joined(other) if isinstance(one, Pixels) and isinstance(other, Pixels) else None
    return torch.cat([one[:], other[:]]) if both is None else both


def subset(inputs: Inputs, chosen: Tensor) -> Inputs:
    """Return some samples, as the same kind."""
    return inputs.subset(chosen) if isinstance(inputs, Pixels) else inputs[chosen]
