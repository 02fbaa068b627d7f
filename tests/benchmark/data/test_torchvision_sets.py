from __future__ import annotations

import pickle
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from benchmark.data import catalog, torchvision_sets
from benchmark.errors import UserError


def write_mnist(folder: Path, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Write small files in MNIST's format and return their images."""
    folder.mkdir(parents=True)
    written = {}
    for seed, (part, count) in enumerate(counts.items()):
        random = np.random.RandomState(seed)
        pixels = random.randint(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        header = struct.pack(">iiii", 0x803, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = struct.pack(">ii", 0x801, count)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
        written[part] = pixels
    return written


@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_the_mnist_family(name, folder, tmp_path):
    written = write_mnist(tmp_path / folder / "raw", {"train": 30, "t10k": 20})
    catalog.require(name, tmp_path)
    raw = torchvision_sets.read(name, tmp_path)
    np.testing.assert_array_equal(raw.train_x.numpy(), written["train"][:, None])
    np.testing.assert_array_equal(raw.test_x.numpy(), written["t10k"][:, None])
    assert raw.train_y.dtype == torch.int64
    assert raw.test_y.tolist() == [*range(10)] * 2
    assert len(raw.classes) == 10


def test_labels_that_are_no_classes_are_a_users_error(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw", {"train": 30, "t10k": 20})
    labels = tmp_path / "MNIST/raw/train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + bytes([10]))
    with pytest.raises(UserError, match="have no labels, or others than 0 to 9: delete them"):
        torchvision_sets.read("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "dataset", "label_key"),
    [("cifar10", datasets.CIFAR10, "labels"), ("cifar100", datasets.CIFAR100, "fine_labels")],
)
def test_the_cifar_family(name, dataset, label_key, tmp_path, monkeypatch):
    folder = tmp_path / dataset.base_folder
    folder.mkdir()
    # The generated files have other checksums than the real ones.
    for attribute in ("train_list", "test_list"):
        files = [[file, None] for file, _ in getattr(dataset, attribute)]
        monkeypatch.setattr(dataset, attribute, files)
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": None})
    images = {}
    for seed, (file, _) in enumerate([*dataset.train_list, *dataset.test_list]):
        images[file] = np.random.RandomState(seed).randint(0, 256, (4, 3072)).astype(np.uint8)
        content = {"data": images[file], label_key: [3, 1, 2, 0]}
        (folder / file).write_bytes(pickle.dumps(content))
    classes = ["a", "b", "c", "d"]
    (folder / dataset.meta["filename"]).write_bytes(pickle.dumps({dataset.meta["key"]: classes}))

    catalog.require(name, tmp_path)
    raw = torchvision_sets.read(name, tmp_path)
    expected = np.concatenate([images[file] for file, _ in dataset.train_list])
    np.testing.assert_array_equal(raw.train_x.numpy(), expected.reshape(-1, 3, 32, 32))
    assert raw.train_x.is_contiguous()
    assert raw.test_y.tolist() == [3, 1, 2, 0]
    assert raw.classes == ("a", "b", "c", "d")


@pytest.mark.parametrize("length", [0, 3, 500])
def test_a_truncated_file_is_a_users_error(length, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    write_mnist(raw, {"train": 30, "t10k": 20})
    file = raw / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"the files of data set 'mnist' .* cannot be read"):
        torchvision_sets.read("mnist", tmp_path)


def test_a_cifar_file_with_a_wrong_checksum_is_a_users_error(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for file in ("train", "test", "meta"):
        (folder / file).write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"'cifar100' .* cannot be read .*corrupted"):
        torchvision_sets.read("cifar100", tmp_path)


def test_a_download_has_a_time_limit_and_leaves_the_socket_settings_alone(monkeypatch, tmp_path):
    seen = []

    def fake(root, download):
        seen.append((root, download, socket.getdefaulttimeout()))
        raise TimeoutError("timed out")

    monkeypatch.setitem(torchvision_sets._CLASSES, "mnist", fake)
    before = socket.getdefaulttimeout()
    with pytest.raises(UserError, match=r"could not be downloaded \(timed out\)"):
        catalog.require("mnist", tmp_path)
    assert socket.getdefaulttimeout() == before
    [(root, download, limit)] = seen
    assert (root, download) == (tmp_path, True)
    assert 0 < limit <= 30
