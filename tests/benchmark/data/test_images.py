from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from float_images import load

from palimpsest.benchmark.data import listing
from palimpsest.benchmark.data.formats import images


@pytest.fixture(autouse=True)
def forget_loaded_data():
    yield
    images.load_pixels.cache_clear()


def assert_normalised(x: torch.Tensor) -> None:
    pixels = x.double()
    zero = torch.zeros(x.shape[1], dtype=torch.float64)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), zero, atol=1e-5, rtol=0)
    deviation = pixels.std((0, 2, 3), unbiased=False)
    torch.testing.assert_close(deviation, zero + 1, atol=1e-5, rtol=0)


def test_digits(tmp_path):
    data = load("digits", tmp_path)
    assert data.input_shape == (1, 8, 8)
    assert data.n_classes == 10
    assert data.classes == tuple("0123456789")
    assert len(data.train_y) + len(data.test_y) == 1797
    assert data.train_x.dtype == data.test_x.dtype == torch.float32
    assert data.train_y.dtype == data.test_y.dtype == torch.int64
    total = (data.train_y.bincount() + data.test_y.bincount()).double()
    torch.testing.assert_close(data.test_y.bincount() / total, total * 0 + 0.2, atol=3e-3, rtol=0)
    assert_normalised(data.train_x)


def test_no_digit_is_in_both_parts(tmp_path):
    data = load("digits", tmp_path)
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    known = {image.tobytes() for image in sklearn_datasets.load_digits().images.astype(np.uint8)}
    shown = torch.cat([data.train_x, data.test_x])
    assert len({image.numpy().tobytes() for image in shown}) == len(known)


def test_the_files_of_a_data_set_are_read_once(tmp_path, monkeypatch):
    calls, read = [], images._read
    monkeypatch.setattr(images, "_read", lambda *which: calls.append(which) or read(*which))
    first, second = load("digits", tmp_path), load("digits", tmp_path)
    assert calls == [("digits", tmp_path)]
    assert torch.equal(first.train_x, second.train_x)


def test_test_images_are_normalised_with_the_statistics_of_the_training_images(
    tmp_path, write_image
):
    pixels = {}
    for part in ("train", "test"):
        files = [tmp_path / part / name / "0.png" for name in "ab"]
        seeds = (1, 2) if part == "train" else (3, 4)
        arrays = [write_image(file, seed) for file, seed in zip(files, seeds, strict=True)]
        pixels[part] = np.stack(arrays).astype(np.float64)
    data = load(f"folder:{tmp_path}", tmp_path)
    assert data.input_shape == (3, 4, 6)
    assert_normalised(data.train_x)
    mean, std = pixels["train"].mean((0, 1, 2)), pixels["train"].std((0, 1, 2))
    expected = ((pixels["test"] - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(data.test_x.numpy(), expected, atol=1e-5)


def test_a_channel_of_one_value_stays_finite(tmp_path, write_image):
    Image = pytest.importorskip("PIL.Image")
    for name in "ab":
        for index in range(3):
            file = tmp_path / name / f"{index}.png"
            pixels = write_image(file, seed=index)
            pixels[..., 1] = 77
            Image.fromarray(pixels).save(file)
    data = load(f"folder:{tmp_path}", tmp_path)
    assert data.train_x[:, 1].abs().max() == 0
    assert data.train_x.isfinite().all()


def test_the_real_mnist(real_data):
    data = load("mnist", real_data("MNIST"))
    assert data.train_x.shape == (60_000, 1, 28, 28)
    assert data.test_x.shape == (10_000, 1, 28, 28)
    assert data.n_classes == 10
    assert data.train_y[:5].tolist() == [5, 0, 4, 1, 9]
    assert_normalised(data.train_x)


CIFAR_ZIP = "cifar10-images.zip"


def test_the_real_cifar_images(real_data, tmp_path):
    with (
        zipfile.ZipFile(real_data(CIFAR_ZIP) / CIFAR_ZIP) as whole,
        zipfile.ZipFile(tmp_path / "some.zip", "w") as some,
    ):
        for name in [name for name in whole.namelist() if name.endswith(".jpg")][::20]:
            some.writestr(name, whole.read(name))
    data = load("folder:some.zip", tmp_path)
    assert data.train_x.shape == (2500, 3, 32, 32)
    assert data.test_x.shape == (500, 3, 32, 32)
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert data.train_y.bincount().tolist() == [250] * 10
    assert data.test_y.bincount().tolist() == [50] * 10
    assert_normalised(data.train_x)


def test_the_real_cifar_zip_is_listed_in_training_order(real_data):
    found = listing.list_images(real_data(CIFAR_ZIP) / CIFAR_ZIP)
    assert [len(found.train), len(found.test)] == [50_000, 10_000]
    assert found.train[0].member == "train/airplane/0000.jpg"
