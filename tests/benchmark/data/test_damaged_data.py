"""Damaged data of every format are refused before anything trains, with the file."""

import gzip
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.data.formats.torchvision_parts import STL10

COUNT = 40


def idx(values, magic=None):
    kind = 0x800 + values.ndim if magic is None else magic
    return struct.pack(f">{values.ndim + 1}i", kind, *values.shape) + values.tobytes()


def write_mnist(root):
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        pixels = np.random.RandomState(0).randint(0, 256, (COUNT, 28, 28)).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        labels = (np.arange(COUNT) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return "mnist"


def write_emnist(root):
    folder = root / "EMNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        pixels = np.random.RandomState(0).randint(0, 256, (52, 28, 28)).astype(np.uint8)
        (folder / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        letters = (np.arange(52) % 26 + 1).astype(np.uint8)
        (folder / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(idx(letters))
    return "emnist_letters"


def write_cifar(root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / file).write_bytes(cifar())
    names = [f"class {i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return "cifar10"


def cifar(shape=(20, 3072), dtype=np.uint8, labels=(*range(10), *range(10))):
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(dtype)
    return pickle.dumps({"data": pixels, "labels": [*labels]})


def write_svhn(root):
    for part in ("train", "test"):
        svhn(root / f"{part}_32x32.mat")
    return "svhn"


def svhn(file, shape=(32, 32, 3, 20), dtype=np.uint8, labels=(*range(1, 11), *range(1, 11))):
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(dtype)
    savemat(file, {"X": pixels, "y": np.array(labels)[:, None]})


def write_stl10(root):
    folder = root / "stl10_binary"
    folder.mkdir()
    for part in ("train", "test"):
        pixels = np.random.RandomState(0).randint(0, 256, (10, 3, 96, 96)).astype(np.uint8)
        (folder / f"{part}_X.bin").write_bytes(pixels.tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(range(1, 11)))
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    return "stl10"


def write_folder(root):
    for place in range(8):
        file = root / "pets" / f"{['cat', 'dog'][place % 2]}/{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(place).randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(file)
    return f"folder:{root / 'pets'}"


def write_zip(root):
    write_folder(root)
    with zipfile.ZipFile(root / "pets.zip", "w") as archive:
        for file in sorted((root / "pets").rglob("*.png")):
            archive.write(file, file.relative_to(root / "pets").as_posix())
    return f"folder:{root / 'pets.zip'}"


def write_text(root):
    (root / "words").mkdir()
    for split in ("train", "valid", "test"):
        (root / f"words/{split}.txt").write_text("one two three four\n" * 400)
    return f"text:{root / 'words'}"


IMAGES, LABELS = "MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-labels-idx1-ubyte"


def labels(*values):
    return idx(np.array(values, np.uint8))


def halved(content):
    return content[: len(content) // 2]


MNIST = {
    "truncated images": (IMAGES, halved),
    "truncated labels": (LABELS, halved),
    "empty": (IMAGES, lambda _: b""),
    "wrong magic": (IMAGES, lambda content: b"\xff" * 4 + content[4:]),
    "wrong type": (IMAGES, lambda _: idx(np.zeros((COUNT, 28, 28), ">f4"), 0xD03)),
    "other size": (IMAGES, lambda _: idx(np.zeros((COUNT, 20, 28), np.uint8))),
    "one label short": (LABELS, lambda _: labels(*np.arange(COUNT - 1) % 10)),
    "one label for all": (LABELS, lambda _: labels(*[3] * COUNT)),
    "a label out of range": (LABELS, lambda _: labels(*range(COUNT))),
    "a class without images": (LABELS, lambda _: labels(*np.arange(COUNT) % 9)),
    "no text": (LABELS, lambda _: b"\0" * 4),
    "fifo": (IMAGES, None),
    "nothing": (LABELS, "remove"),
}
OF_EMNIST = "EMNIST/raw/emnist-letters-{}-{}-ubyte"
EMNIST_X, EMNIST_Y = (
    OF_EMNIST.format("test", "images-idx3"),
    OF_EMNIST.format("test", "labels-idx1"),
)
EMNIST = {
    "truncated images": (EMNIST_X, halved),
    "truncated labels": (EMNIST_Y, halved),
    "packed": (EMNIST_X, gzip.compress),
    "one label short": (EMNIST_Y, lambda _: labels(*np.arange(51) % 26 + 1)),
    "one label for all": (EMNIST_Y, lambda _: labels(*[3] * 52)),
    "other size": (EMNIST_X, lambda _: idx(np.zeros((52, 28, 20), np.uint8))),
    "a label that is none": (EMNIST_Y, lambda _: labels(*np.arange(52) % 26)),
    "wrong type": (EMNIST_Y, lambda _: idx((np.arange(52) % 26 + 1).astype(">i4"), 0xC01)),
}
IN_CIFAR = "cifar-10-batches-py/data_batch_3"
CIFAR = {
    "truncated": (IN_CIFAR, halved),
    "no pickle": (IN_CIFAR, lambda _: b"no pickle"),
    "one label short": (IN_CIFAR, lambda _: cifar(labels=[*range(10), *range(9)])),
    "one label for all": ("cifar-10-batches-py/test_batch", lambda _: cifar(labels=[3] * 20)),
    "other size": (IN_CIFAR, lambda _: cifar(shape=(20, 1024))),
    "a label out of range": (IN_CIFAR, lambda _: cifar(labels=range(20))),
    "wrong type": (IN_CIFAR, lambda _: cifar(dtype=np.float32)),
    "labels of a wrong type": (IN_CIFAR, lambda _: cifar(labels=[0.5, *range(1, 10)] * 2)),
    "names short": (
        "cifar-10-batches-py/batches.meta",
        lambda _: pickle.dumps({"label_names": [f"class {i}" for i in range(9)]}),
    ),
    "names of nothing": (
        "cifar-10-batches-py/batches.meta",
        lambda _: pickle.dumps({"label_names": [f"class {i}" for i in range(11)]}),
    ),
}
IN_SVHN = "test_32x32.mat"
SVHN = {
    "truncated": (IN_SVHN, halved),
    "one label short": (IN_SVHN, {"labels": [*range(1, 11), *range(1, 10)]}),
    "one label for all": (IN_SVHN, {"labels": [3] * 20}),
    "other size": (IN_SVHN, {"shape": (28, 28, 3, 20)}),
    "other axes": (IN_SVHN, {"shape": (20, 3, 32, 32)}),
    "a label out of range": (IN_SVHN, {"labels": range(20)}),
    "wrong type": (IN_SVHN, {"dtype": np.float64}),
}
IN_STL10 = "stl10_binary/train_{}.bin"
STL = {
    "truncated images": (IN_STL10.format("X"), lambda content: content[:-5]),
    "an image short": (IN_STL10.format("X"), halved),
    "one label short": (IN_STL10.format("y"), lambda content: content[:-1]),
    "one label for all": (IN_STL10.format("y"), lambda _: bytes([3] * 10)),
    "a label that is none": (IN_STL10.format("y"), lambda _: bytes(range(10))),
    "a label out of range": (IN_STL10.format("y"), lambda _: bytes(range(2, 12))),
    "names short": ("stl10_binary/class_names.txt", lambda _: b"a\nb\nc"),
    "names of nothing": ("stl10_binary/class_names.txt", lambda content: content + b"\nk"),
    "names not UTF-8": ("stl10_binary/class_names.txt", lambda content: content + b"\xff\xfe"),
    "empty": (IN_STL10.format("X"), lambda _: b""),
}
IN_FOLDER = "pets/cat/4.png"
FOLDER = {
    "truncated": (IN_FOLDER, halved),
    "empty": (IN_FOLDER, lambda _: b""),
    "no image": (IN_FOLDER, lambda _: b"no image"),
    "fifo": (IN_FOLDER, None),
}
ZIP = {
    "truncated": ("pets.zip", halved),
    "empty": ("pets.zip", lambda _: b""),
    "no zip": ("pets.zip", lambda _: b"no zip file"),
    "a damaged member": ("pets.zip", lambda content: content[:60] + b"\0" * 40 + content[100:]),
    "fifo": ("pets.zip", None),
}
TEXT = {
    "empty": ("words/train.txt", lambda _: b""),
    "not UTF-8": ("words/test.txt", lambda content: content + b"\xff\xfe"),
    "binary": ("words/valid.txt", lambda content: content + b"\0"),
    "fifo": ("words/train.txt", None),
    "blank": ("words/test.txt", lambda _: b" \n \n"),
}
CASES = [
    (write, damage, *case)
    for write, cases in (
        (write_mnist, MNIST),
        (write_emnist, EMNIST),
        (write_cifar, CIFAR),
        (write_svhn, SVHN),
        (write_stl10, STL),
        (write_folder, FOLDER),
        (write_zip, ZIP),
        (write_text, TEXT),
    )
    for damage, case in cases.items()
]


def run_on(data, root, folder, *options):
    if data.startswith("text:"):
        scenario = (
            f"{{family: architecture_search, data: '{data}', supernet: {{name: recurrent_cell}}, "
            "batch_size: 4, length: 5, epochs: 1}"
        )
    else:
        scenario = f"{{family: model_sequence, data: '{data}', models: 2, steps: 1}}"
    suite = folder / "suite.yaml"
    suite.write_text(
        f"suite: x\nseeds: 1\nscenarios:\n  s: {scenario}\nstrategies: {{finetune: {{}}}}\n"
    )
    with pytest.raises(SystemExit) as left:
        store = str(folder / "x.db")
        main(["run", str(suite), "--data-root", str(root), "--store", store, *options])
    return left.value.code


@pytest.fixture(autouse=True)
def alone(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(
        "palimpsest.benchmark.data.cache.user_cache_path", lambda name: place / name
    )

    def no_network(name, root):
        raise RuntimeError("no network")

    monkeypatch.setattr("palimpsest.benchmark.data.formats.named.download", no_network)


@pytest.fixture
def no_checksums(monkeypatch):
    """Files that are made here have other checksums than those that were published."""
    for kind in (datasets.CIFAR10, STL10):
        for part in ("train_list", "test_list"):
            files = [[file, None] for file, _ in getattr(kind, part)]
            monkeypatch.setattr(kind, part, files)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": None})
    parts = {k: [url, file, None] for k, (url, file, _) in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", parts)


@pytest.mark.parametrize(
    ("write", "damage", "file", "change"),
    CASES,
    ids=[f"{write.__name__.removeprefix('write_')}: {damage}" for write, damage, *_ in CASES],
)
def test_damaged_data_are_refused_before_anything_trains(
    write, damage, file, change, tmp_path, capsys, no_checksums
):
    root, here = tmp_path / "data", tmp_path / "here"
    root.mkdir()
    here.mkdir()
    data = write(root)
    place = root / file
    if change is None:
        place.unlink()
        os.mkfifo(place)
    elif change == "remove":
        place.unlink()
    elif isinstance(change, dict):
        svhn(place, **change)
    else:
        place.write_bytes(change(place.read_bytes()))
    assert run_on(data, root, here) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    assert str(root) in told
    assert change in (None, "remove") or Path(file).name in told
    assert "suite.yaml, line 4" in told
    assert not (here / "x.db").exists()


WRITERS = [write_mnist, write_emnist, write_cifar, write_svhn, write_stl10]
WRITERS += [write_folder, write_zip, write_text]


@pytest.mark.parametrize("write", WRITERS)
def test_data_that_are_not_damaged_are_taken(write, tmp_path, no_checksums):
    assert run_on(write(tmp_path), tmp_path, tmp_path, "--dry-run", "--json") == 0


class Intruder:
    def __reduce__(self):
        return os.mkdir, ("intruded",)


@pytest.mark.parametrize("file", ["data_batch_2", "test_batch", "batches.meta"])
def test_no_pickle_is_read_but_those_that_were_published(file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_cifar(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    (folder / file).write_bytes(pickle.dumps(Intruder()))
    kind = datasets.CIFAR10
    for part in ("train_list", "test_list"):  # all others are right
        files = [[name, None if name != file else md5] for name, md5 in getattr(kind, part)]
        monkeypatch.setattr(kind, part, files)
    if file != "batches.meta":
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    assert run_on(data, tmp_path, tmp_path) == 2
    assert f"cifar-10-batches-py/{file} (not as they were published" in capsys.readouterr().err
    assert not (tmp_path / "intruded").exists()
