"""Augmentation of training images: batched tensor operations on the device of the images.

Every sample draws its own numbers, from a separate generator of the run on the CPU. So a seed gives
the same changes on every device, and no other random numbers change.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import Inputs, Pixels
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.augment import Augment, Jitter

_GREY = (0.2989, 0.587, 0.114)


def crop(x: Tensor, padding: int, top: Tensor, left: Tensor, fill: Tensor) -> Tensor:
    """Pad images on all sides, and crop each to its old size.

    Args:
        x: Images (N, C, H, W).
        padding: On each side, in pixels.
        top: The first row taken of each padded image, int64 (N,), from 0 to 2 * padding.
        left: The first column, likewise.
        fill: The padding's value in each channel, broadcast to (N, C, 1, 1).
    """
    n, channels, height, width = x.shape
    tall, wide = height + 2 * padding, width + 2 * padding
    padded = fill.to(x.dtype).expand(n, channels, tall, wide).clone()
    padded[..., padding : padding + height, padding : padding + width] = x
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    taken = padded.gather(2, rows[:, None, :, None].expand(n, channels, height, wide))
    return taken.gather(3, columns[:, None, None, :].expand(n, channels, height, width))


def flip(x: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen images, bool (N,), left to right."""
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)


def cutout(x: Tensor, side: int, row: Tensor, column: Tensor, fill: Tensor) -> Tensor:
    """Blank a square in each image. The part of a square outside of the image is ignored.

    Source: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with
    Cutout, 2017.

    Args:
        x: Images (N, C, H, W).
        side: Of the square, in pixels.
        row: Of each square's centre, int64 (N,).
        column: Likewise.
        fill: The square's value in each channel, broadcast to (N, C, 1, 1).
    """

    def inside(centre: Tensor, size: int) -> Tensor:
        first = (centre - side // 2)[:, None]
        positions = torch.arange(size, device=x.device)
        return (positions >= first) & (positions < first + side)

    square = inside(row, x.shape[2])[:, None, :, None] & inside(column, x.shape[3])[:, None, None]
    return torch.where(square, fill.to(x.dtype), x)


def brightness(x: Tensor, factors: Tensor) -> Tensor:
    """Return images (N, C, H, W) from 0 to 1 times their factors (N,)."""
    return (x * factors[:, None, None, None]).clamp(0, 1)


def contrast(x: Tensor, factors: Tensor) -> Tensor:
    """Return images blended with their mean grey; a factor of 1 changes nothing."""
    return _blend(x, _grey(x).mean(dim=(1, 2, 3), keepdim=True), factors)


def saturation(x: Tensor, factors: Tensor) -> Tensor:
    """Return images blended with their grey ones; images of one channel are grey."""
    return x if x.shape[1] == 1 else _blend(x, _grey(x), factors)


def hue(x: Tensor, shifts: Tensor) -> Tensor:
    """Return images with the hue turned by shares of the circle (N,); grey ones stay."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(dim=1)
    value, low = x.amax(dim=1), x.amin(dim=1)
    spread = value - low
    scale = torch.where(spread == 0, torch.ones_like(spread), spread)
    sector = torch.where(
        value == red,
        (green - blue) / scale,
        torch.where(value == green, (blue - red) / scale + 2, (red - green) / scale + 4),
    )
    turned = sector + 6 * shifts[:, None, None]
    parts = []
    for offset in (5, 3, 1):
        k = (turned + offset) % 6
        parts.append(value - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(parts, dim=1).clamp(0, 1)


def _blend(x: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    share = factors[:, None, None, None]
    return (share * x + (1 - share) * other).clamp(0, 1)


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(_GREY, dtype=x.dtype, device=x.device)[:, None, None]
    return (x * weights).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class Scale:
    """How the values of images relate to pixels.

    Attributes:
        black: The value of padding and of cut-out squares, broadcast to (N, C, 1, 1).
        mean: Of each channel's pixels from 0 to 255; ``None`` if the pixels are not known.
        std: Likewise.
    """

    black: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None

    @classmethod
    def of(cls, x: Inputs) -> Scale:
        """Return the scale of images. If the pixels are not known, black is the smallest value."""
        if isinstance(x, Pixels):
            return cls(-x.mean / x.std, x.mean, x.std)
        return cls(x.amin(dim=(0, 2, 3), keepdim=True))


def augmented(x: Tensor, settings: Augment, scale: Scale, generator: torch.Generator) -> Tensor:
    """Return a batch of normalised images, each with random changes of its own.

    Args:
        x: Images (N, C, H, W), which are not changed in place.
        settings: The changes, applied in the order crop, flip, jitter, cutout.
        scale: Of these images.
        generator: On the CPU. The count of numbers drawn depends only on N and the settings.
    """
    n, _, height, width = x.shape

    def uniform() -> Tensor:
        return torch.rand(n, generator=generator).to(x.device, non_blocking=True)

    def whole(below: int) -> Tensor:
        return (uniform() * below).long().clamp_(max=below - 1)

    black = scale.black
    if settings.crop:
        offsets = 2 * settings.crop + 1
        x = crop(x, settings.crop, whole(offsets), whole(offsets), black)
    if settings.flip:
        x = flip(x, uniform() < 0.5)
    if settings.jitter is not None:
        x = _jittered(x, settings.jitter, scale, uniform)
    if settings.cutout:
        x = cutout(x, settings.cutout, whole(height), whole(width), black)
    return x


def _jittered(x: Tensor, settings: Jitter, scale: Scale, uniform: Callable[[], Tensor]) -> Tensor:
    assert scale.mean is not None and scale.std is not None  # checked before anything trains
    images = ((x * scale.std + scale.mean) / 255).clamp(0, 1)
    changes = ((settings.brightness, brightness), (settings.contrast, contrast))
    for reach, change in (*changes, (settings.saturation, saturation)):
        if reach:
            images = change(images, 1 + reach * (2 * uniform() - 1))
    if settings.hue:
        images = hue(images, settings.hue * (2 * uniform() - 1))
    return (images * 255 - scale.mean) / scale.std


class Augmentation(SupervisedPlugin):
    """Changes the images of every training batch, before any other plugin sees them.

    Evaluations and samples that strategies take from the data are not changed. The settings can
    include the samples from which importances are estimated.

    Args:
        settings: The changes.
        seed: The run's.
    """

    def __init__(self, settings: Augment, seed: int) -> None:
        super().__init__()
        self._settings = settings
        self._seed = seed
        self._generator = torch.Generator()
        self._scale: Scale | None = None
        self._black: Tensor | None = None

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Seed the generator for this training."""
        experience, training = strategy.experience, strategy.step_clock.training
        self._generator.manual_seed(derive(self._seed, "augmentation", 2 * training))
        self._scale = Scale.of(experience.dataset.samples[0])
        self._black = _black_by_label(experience, self._scale.black)

    def before_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Change the batch."""
        assert self._scale is not None
        x, *others = strategy.mbatch
        scale = self._scale
        if self._black is not None:  # a joint training has samples of all data sets
            scale = replace(scale, black=self._black[others[-1]])
        changed = augmented(x, self._settings, scale, self._generator)
        strategy.mbatch = [changed, *others]

    def augment_stored(
        self, x: Tensor, mean: Tensor | None, std: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return images that a strategy has stored, changed like those of training batches.

        Args:
            x: Images (N, C, H, W), which are not changed in place.
            mean: The mean that normalised each image's pixels, (N, C, 1, 1). If it is not known
                (``None``), the scale of the current model's images is used.
            std: Likewise.
            generator: The strategy's own, so that training batches draw the same numbers.
        """
        assert self._scale is not None
        known = mean is not None and std is not None
        scale = Scale(-mean / std, mean, std) if known else self._scale  # type: ignore[operator]
        return augmented(x, self._settings, scale, generator)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Augment the samples for importances, if the settings ask for it."""
        samples = getattr(strategy.adapted_dataset, "samples", None)
        if self._settings.importance == "plain" or samples is None:
            return
        assert self._scale is not None
        seed = derive(self._seed, "augmentation", 2 * strategy.step_clock.training + 1)
        x = _Changed(samples[0], self._settings, self._scale, seed)
        strategy.adapted_dataset = copy.copy(strategy.adapted_dataset)
        strategy.adapted_dataset.samples = (x, *samples[1:])


def _black_by_label(current: Any, own: Tensor) -> Tensor | None:
    """Return the value of black for each task label: (labels, C, 1, 1).

    Args:
        current: An Avalanche experience of a stream with samples in memory. For each other label,
            the first experience counts.
        own: The value of black in ``current``.

    Returns:
        ``None`` if all labels have the same value.
    """
    blacks = {current.task_label: own}
    for experience in current.origin_stream:
        if experience.task_label not in blacks:
            blacks[experience.task_label] = Scale.of(experience.dataset.samples[0]).black
    if all(torch.equal(black, own) for black in blacks.values()):
        return None
    table = own.new_zeros((max(blacks) + 1, *own.shape[1:]))
    for label, black in blacks.items():
        table[label] = black[0]
    return table


class _Changed:
    """Inputs that are augmented when they are indexed."""

    def __init__(self, inputs: Inputs, settings: Augment, scale: Scale, seed: int) -> None:
        self._inputs, self._settings, self._scale = inputs, settings, scale
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def device(self) -> torch.device:
        """The device of the inputs."""
        return self._inputs.device

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, chosen: Tensor) -> Tensor:
        return augmented(self._inputs[chosen], self._settings, self._scale, self._generator)
