"""Decodes the samples of Avalanche's streams once, into tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from palimpsest.benchmark.data.formats.images import statistics
from palimpsest.benchmark.data.formats.pixels import Inputs, Pixels
from palimpsest.benchmark.data.mapped import room_for
from palimpsest.benchmark.data.shared_data import shared
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.scenarios.streams.avalanche_streams import quietly, streams, takes_seed
from palimpsest.benchmark.scenarios.streams.parts import Amounts, Part, Samples

_UNREADABLE = (OSError, RuntimeError, SyntaxError, ValueError, EOFError, LookupError)


@dataclass(frozen=True, eq=False)
class DecodedStreams:
    """All samples of a benchmark.

    Attributes:
        x: Of the training experiences and then of those to test on, shape (N, C, H, W): as
            `Pixels` where they are images, normalised over all that are trained on, else numbers as
            the benchmark gives them.
        y: Their classes, int64, shape (N,).
        train: How many samples each experience has to train on.
        test: How many each has to test on; a single number where one test set is for all.
        labels: The task label of each training experience.
    """

    x: Inputs
    y: Tensor
    train: tuple[int, ...]
    test: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one sample."""
        channels, height, width = self.x.shape[1:]
        return channels, height, width

    @property
    def head_sizes(self) -> dict[int, int]:
        """The classes of each task label's head: one more than its largest label."""
        sizes: dict[int, int] = {}
        for part in ("train", "test"):
            for (_, y), label in zip(self._pieces(part), self.labels, strict=True):
                sizes[label] = max(sizes.get(label, 0), int(y.max()) + 1)
        return sizes

    def parts(self, amounts: Amounts) -> list[Part]:
        """Return the data of each experience, so many samples of each."""
        return list(map(amounts.part, self._pieces("train"), self._pieces("test")))

    def _pieces(self, part: str) -> list[Samples]:
        sizes, start = (self.train, 0) if part == "train" else (self.test, sum(self.train))
        pieces = []
        for size in sizes:
            whole = slice(start, start + size)
            rows = torch.arange(start, start + size, device=self.y.device)
            x = self.x.subset(rows) if isinstance(self.x, Pixels) else self.x[whole]
            pieces.append((x, self.y[whole]))
            start += size
        return pieces * len(self.labels) if len(sizes) == 1 else pieces


def load(
    name: str, arguments: Mapping[str, Any], seed: int, folder: Path, device: str
) -> DecodedStreams:
    """Decode a benchmark of Avalanche, once per process, or once for all that share memory.

    Raises:
        UserError: As for ``streams``; or samples that cannot be decoded, that are no images of one
            size, or whose labels are no classes.
    """
    own_seed = seed if takes_seed(name, arguments) else 0
    return _loaded(name, json.dumps(arguments, sort_keys=True), own_seed, folder, device)


@lru_cache(maxsize=2)
def _loaded(name: str, arguments: str, seed: int, folder: Path, device: str) -> DecodedStreams:
    key = ("avalanche", name, arguments, seed, folder)

    def decode() -> dict[str, Any]:
        with quietly(device):
            return _decode(name, json.loads(arguments), seed, folder)

    made = shared(key, decode)
    x: Inputs = made["x"]
    if "mean" in made:
        x = Pixels(made["x"], made["mean"], made["std"])
    sizes = (tuple(made[each]) for each in ("train", "test", "labels"))
    return DecodedStreams(x.to(device), made["y"].to(device), *sizes)


def _decode(name: str, arguments: Mapping[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    found = streams(name, arguments, seed, folder)
    experiences = [*found.train, *found.test]
    sizes = [len(experience.dataset) for experience in experiences]
    store, y = _Store(sum(sizes)), []
    for index, experience in enumerate(experiences):
        number = index - len(found.train)
        stream = f"training experience {index + 1}" if number < 0 else f"test {number + 1}"
        for sample in range(sizes[index]):
            place = f"benchmark {name} of Avalanche, {stream}, sample {sample + 1}"
            try:
                x, label, *_ = experience.dataset[sample]
            except _UNREADABLE as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise UserError(f"{place}: it cannot be decoded ({reason})") from error
            store.add(place, x)
            y.append(_class(place, label))
    trained = len(found.train)
    return {
        "y": torch.tensor(y),
        "train": sizes[:trained],
        "test": sizes[trained:],
        "labels": list(found.labels),
        **store.tensors(sum(sizes[:trained])),
    }


def _class(place: str, label: Any) -> int:
    if isinstance(label, Tensor | np.generic):
        label = label.item() if label.ndim == 0 else label
    if not isinstance(label, int) or label < 0:
        raise UserError(
            f"{place}: its label is no class, but of type {type(label).__name__}; choose a "
            "benchmark, or arguments, with one class for each sample"
        )
    return label


class _Store:
    """Samples in one tensor: bytes as long as they are images, else numbers.

    A byte b stands for the number b / 255, as torchvision's ``ToTensor`` has it.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._stored: Tensor | None = None

    def add(self, place: str, sample: Any) -> None:
        """Add a sample: an image of Pillow, or an array (C, H, W) or (H, W)."""
        x = _as_tensor(place, sample)
        if self._stored is None:
            self._stored = self._room(x.shape, x.dtype)
        if x.shape != self._stored.shape[1:]:
            raise UserError(
                f"{place}: it has the shape {tuple(x.shape)}, and earlier ones "
                f"{tuple(self._stored.shape[1:])}; expected images of one size, so that this "
                "benchmark cannot be used"
            )
        if x.dtype != self._stored.dtype:
            if self._stored.dtype == torch.uint8:
                earlier, self._stored = self._stored, self._room(x.shape, x.dtype)
                self._stored[: self._done] = earlier[: self._done] / 255
            else:
                x = x / 255
        self._stored[self._done] = x
        self._done += 1

    def tensors(self, trained: int) -> dict[str, Tensor]:
        """Return the samples and, of bytes, what they are normalised with."""
        assert self._stored is not None
        if self._stored.dtype != torch.uint8:
            return {"x": self._stored}
        mean, std = statistics(self._stored[:trained])
        return {"x": self._stored, "mean": mean, "std": std}

    def _room(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        whole = (self._count, *shape)
        return room_for(whole) if dtype == torch.uint8 else torch.empty(whole, dtype=dtype)


def _as_tensor(place: str, sample: Any) -> Tensor:
    """Return bytes where the sample is an image, or the same numbers as one, else float32."""
    if isinstance(sample, Image.Image):
        image = sample if sample.mode in {"L", "RGB"} else sample.convert("RGB")
        array = np.asarray(image).reshape(image.height, image.width, -1)
        return torch.from_numpy(array.transpose(2, 0, 1).copy())
    x = torch.as_tensor(sample) if isinstance(sample, Tensor | np.ndarray) else torch.empty(0)
    if x.ndim == 2:
        x = x.unsqueeze(0)
    if x.ndim != 3 or x.is_complex():
        raise UserError(
            f"{place}: it is no image but of type {type(sample).__name__} and shape "
            f"{tuple(getattr(sample, 'shape', ()))}; expected (channels, height, width)"
        )
    if x.dtype == torch.uint8:
        return x
    x = x.to(torch.float32)
    pixels = (x * 255).round()
    is_image = bool(((pixels >= 0) & (pixels <= 255)).all()) and torch.equal(pixels / 255, x)
    return pixels.to(torch.uint8) if is_image else x
