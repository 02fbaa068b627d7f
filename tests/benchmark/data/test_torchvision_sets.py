from __future__ import annotations

import pickle
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from palimpsest.benchmark.data import catalog
from palimpsest.benchmark.data.formats import named, torchvision_parts
from palimpsest.benchmark.errors import UserError


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
    raw = named.read(name, tmp_path)
    np.testing.assert_array_equal(raw.train_x.numpy(), written["train"][:, None])
    np.testing.assert_array_equal(raw.test_x.numpy(), written["t10k"][:, None])
    assert raw.train_y.dtype == torch.int64
    assert raw.test_y.tolist() == [*range(10)] * 2
    assert len(raw.classes) == 10


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
    classes = [f"class {number}" for number in range(int(name.removeprefix("cifar")))]
    (folder / dataset.meta["filename"]).write_bytes(pickle.dumps({dataset.meta["key"]: classes}))

    catalog.require(name, tmp_path)
    raw = named.read(name, tmp_path)
    expected = np.concatenate([images[file] for file, _ in dataset.train_list])
    np.testing.assert_array_equal(raw.train_x.numpy(), expected.reshape(-1, 3, 32, 32))
    assert raw.train_x.is_contiguous()
    assert raw.test_y.tolist() == [3, 1, 2, 0]
    assert raw.classes == tuple(classes)


@pytest.mark.parametrize(
    ("name", "split", "lowest", "classes"),
    [
        ("emnist", "balanced", 0, 47),
        ("emnist_letters", "letters", 1, 26),
        ("emnist_digits", "digits", 0, 10),
        ("emnist_byclass", "byclass", 0, 62),
        ("emnist_bymerge", "bymerge", 0, 47),
    ],
)
def test_the_splits_of_emnist(name, split, lowest, classes, tmp_path):
    folder = tmp_path / "EMNIST" / "raw"
    parts = {f"emnist-{split}-{part}": 70 for part in ("train", "test")}
    written = write_mnist(folder, parts)
    labels = np.arange(70) % classes
    for part in parts:
        content = struct.pack(">ii", 0x801, 70) + (labels + lowest).astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(content)
    catalog.require(name, tmp_path)
    raw = named.read(name, tmp_path)
    np.testing.assert_array_equal(raw.train_x[:, 0].numpy(), written[f"emnist-{split}-train"])
    assert raw.test_y.tolist() == labels.tolist()
    assert len(raw.classes) == classes == catalog.outline(name, tmp_path).n_classes


def test_svhn(tmp_path, monkeypatch):
    lists = {k: [u, f, None] for k, (u, f, _) in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", lists)  # other checksums than the real files
    images, labels = {}, [10, 1, 2, 9]  # as the files have them: 10 is the digit 0
    for seed, part in enumerate(("train", "test")):
        images[part] = np.random.RandomState(seed).randint(0, 256, (4, 3, 32, 32)).astype(np.uint8)
        content = {"X": images[part].transpose(2, 3, 1, 0), "y": np.array(labels)[:, None]}
        savemat(tmp_path / f"{part}_32x32.mat", content)
    catalog.require("svhn", tmp_path)
    raw = named.read("svhn", tmp_path)
    np.testing.assert_array_equal(raw.train_x.numpy(), images["train"])
    np.testing.assert_array_equal(raw.test_x.numpy(), images["test"])
    assert raw.train_x.is_contiguous()
    assert raw.train_y.tolist() == raw.test_y.tolist() == [0, 1, 2, 9]
    assert raw.classes == tuple("0123456789")
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"the files of data set 'svhn' .* cannot be read"):
        named.read("svhn", tmp_path)


def test_both_parts_of_svhn_are_downloaded(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torchvision_parts, "download_url", lambda *given: asked.append(given[2]))
    with pytest.raises(RuntimeError, match="not found"):
        named.download("svhn", tmp_path)
    assert asked == ["train_32x32.mat", "test_32x32.mat"]


def test_stl10_needs_no_unlabelled_images(tmp_path, monkeypatch):
    for attribute in ("train_list", "test_list"):
        files = [[file, None] for file, _ in getattr(torchvision_parts.STL10, attribute)]
        monkeypatch.setattr(torchvision_parts.STL10, attribute, files)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = {}
    for seed, part in enumerate(("train", "test")):
        images[part] = np.random.RandomState(seed).randint(0, 256, (4, 3, 96, 96)).astype(np.uint8)
        images[part].transpose(0, 1, 3, 2).tofile(folder / f"{part}_X.bin")  # columns first
        np.array([1, 10, 3, 2], np.uint8).tofile(folder / f"{part}_y.bin")
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    catalog.require("stl10", tmp_path)
    raw = named.read("stl10", tmp_path)
    np.testing.assert_array_equal(raw.train_x.numpy(), images["train"])
    assert raw.train_x.is_contiguous()
    assert raw.test_y.tolist() == [0, 9, 2, 1]
    assert raw.classes == tuple("abcdefghij")


def test_a_download_has_a_time_limit_and_leaves_the_socket_settings_alone(monkeypatch, tmp_path):
    seen = []

    def fake(self, root, download):
        seen.append((root, download, socket.getdefaulttimeout()))
        raise TimeoutError("timed out")

    monkeypatch.setattr(datasets.MNIST, "__init__", fake)
    before = socket.getdefaulttimeout()
    with pytest.raises(UserError, match=r"could not be downloaded \(timed out\)"):
        catalog.require("mnist", tmp_path)
    assert socket.getdefaulttimeout() == before
    [(root, download, limit)] = seen
    assert (root, download) == (tmp_path, True)
    assert 0 < limit <= 30
