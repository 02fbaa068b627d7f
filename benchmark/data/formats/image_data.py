"""A data set of images in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import Tensor

if TYPE_CHECKING:
    from palimpsest.benchmark.data.formats.pixels import Pixels

Images = TypeVar("Images", "Tensor", "Pixels")


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
