"""Damaged data of every format are refused before anything trains, with the file."""

import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmark.cli import main

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
    monkeypatch.setattr("benchmark.data.cache.user_cache_path", lambda name: place / name)

    def no_network(name, root):
        raise RuntimeError("no network")

    monkeypatch.setattr("benchmark.data.torchvision_sets.download", no_network)


@pytest.mark.parametrize(
    ("write", "damage", "file", "change"),
    CASES,
    ids=[f"{write.__name__.removeprefix('write_')}: {damage}" for write, damage, *_ in CASES],
)
def test_damaged_data_are_refused_before_anything_trains(
    write, damage, file, change, tmp_path, capsys
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
    else:
        place.write_bytes(change(place.read_bytes()))
    assert run_on(data, root, here) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    assert str(root) in told
    assert "suite.yaml, line 4" in told
    assert not (here / "x.db").exists()


@pytest.mark.parametrize("write", [write_mnist, write_folder, write_zip, write_text])
def test_data_that_are_not_damaged_are_taken(write, tmp_path):
    assert run_on(write(tmp_path), tmp_path, tmp_path, "--dry-run", "--json") == 0
