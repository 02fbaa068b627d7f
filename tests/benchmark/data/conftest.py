"""Small generated images in folders and zip files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImage = Callable[..., np.ndarray]
ZipOf = Callable[..., Path]


@pytest.fixture
def write_image() -> WriteImage:
    """Write random pixels to a file and return them, shape (H, W) or (H, W, 3)."""

    def write(path: Path, seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (6, 4)):
        width, height = size
        shape = (height, width) if mode == "L" else (height, width, 3)
        pixels = np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return pixels

    return write


@pytest.fixture
def zip_of() -> ZipOf:
    """Pack a folder's files, under a leading folder if asked for, into a zip file beside it."""

    def pack(folder: Path, wrapper: str = "") -> Path:
        target = folder.with_suffix(".zip")
        with zipfile.ZipFile(target, "w") as archive:
            for file in folder.rglob("*"):
                if file.is_file():
                    archive.write(file, f"{wrapper}{file.relative_to(folder).as_posix()}")
        return target

    return pack


@pytest.fixture
def two_classes(tmp_path: Path, write_image: WriteImage) -> Path:
    """A folder of ten RGB images in each of the classes ``cat`` and ``dog``."""
    folder = tmp_path / "pets"
    for label, name in enumerate(("cat", "dog")):
        for index in range(10):
            write_image(folder / name / f"{index}.png", seed=100 * label + index)
    return folder
