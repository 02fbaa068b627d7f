from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from palimpsest.benchmark.data import catalog
from palimpsest.benchmark.errors import UserError

REPO = Path(__file__).resolve().parents[3]
MNIST_FILES = [
    f"{part}-{content}-ubyte"
    for part in ("train", "t10k")
    for content in ("images-idx3", "labels-idx1")
]


@pytest.fixture
def no_download(monkeypatch):
    named = pytest.importorskip("palimpsest.benchmark.data.formats.named")

    def fail(name, root):
        raise RuntimeError(f"Error downloading {name}:\nTried a mirror, got:\nno route to host\n")

    monkeypatch.setattr(named, "download", fail)


def test_importing_and_using_the_catalog_does_not_import_torch(two_classes):
    program = (
        "import sys, pathlib\n"
        "from palimpsest.benchmark.data import catalog\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "catalog.require('digits', root)\n"
        "catalog.require('folder:pets', root)\n"
        "catalog.fingerprint('folder:pets', root)\n"
        "assert not {'torch', 'torchvision', 'sklearn', 'PIL', 'numpy'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    arguments = [sys.executable, "-c", program, str(two_classes.parent)]
    subprocess.run(arguments, check=True, env=environment, timeout=60)


def test_data_root_prefers_what_was_given_then_the_environment_then_the_cache(monkeypatch):
    monkeypatch.setenv("PALIMPSEST_DATA", "/from/environment")
    assert catalog.data_root(Path("/given")) == Path("/given")
    assert catalog.data_root(None) == Path("/from/environment")
    monkeypatch.setenv("PALIMPSEST_DATA", "")
    assert catalog.data_root(None).name == "palimpsest"


def test_data_root_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert catalog.data_root(Path("~/data")) == Path("/home/ada/data")


@pytest.mark.parametrize("name", [*catalog.SETS, "folder:images", "folder:/a/b.zip"])
def test_check_name_accepts(name):
    catalog.check_name(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MNIST", "did you mean 'mnist'"),
        ("fashion-mnist", "did you mean 'fashion_mnist'"),
        ("cifar-10", "did you mean 'cifar10'"),
        ("folder", "did you mean 'folder:PATH'"),
        ("wat", "expected one of: cifar10, cifar100, digits"),
        ("folder:", "has no path"),
        ("folder: ", "has no path"),
    ],
)
def test_check_name_refuses_with_the_nearest_name(name, hint):
    with pytest.raises(UserError, match=hint):
        catalog.check_name(name)


def test_require_and_fingerprint_check_the_name_first(tmp_path):
    for function in (catalog.require, catalog.fingerprint):
        with pytest.raises(UserError, match="did you mean 'kmnist'"):
            function("kmnst", tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("fashion_mnist", "FashionMNIST/raw/train-images-idx3-ubyte"),
        ("kmnist", "KMNIST/raw/train-images-idx3-ubyte"),
        ("cifar10", "cifar-10-batches-py/data_batch_1"),
        ("cifar100", "cifar-100-python/train"),
        ("svhn", "train_32x32.mat"),
        ("emnist", "EMNIST/raw/emnist-balanced-train-images-idx3-ubyte"),
        ("emnist_letters", "EMNIST/raw/emnist-letters-train-images-idx3-ubyte"),
        ("stl10", "stl10_binary/train_X.bin"),
    ],
)
@pytest.mark.usefixtures("no_download")
def test_missing_data_gives_one_sentence_with_the_remedy(name, file, tmp_path):
    with pytest.raises(UserError) as caught:
        catalog.require(name, tmp_path)
    assert str(caught.value) == (
        f"data set '{name}' is not under {tmp_path} and could not be downloaded (no route to "
        f"host): give the folder DIR that holds DIR/{file} with --data-root DIR or "
        "PALIMPSEST_DATA, or run once on a machine with a network"
    )


@pytest.mark.usefixtures("no_download")
@pytest.mark.parametrize("missing", MNIST_FILES)
def test_every_file_of_mnist_is_required(missing, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in MNIST_FILES:
        (raw / file).touch()
    catalog.require("mnist", tmp_path)
    (raw / missing).unlink()
    with pytest.raises(UserError, match="could not be downloaded"):
        catalog.require("mnist", tmp_path)


@pytest.mark.usefixtures("no_download")
def test_the_tensors_of_older_torchvision_versions_are_accepted(tmp_path):
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir(parents=True)
    for file in ("training.pt", "test.pt"):
        (processed / file).touch()
    catalog.require("mnist", tmp_path)


def test_a_download_that_succeeds_is_enough(tmp_path, monkeypatch):
    named = pytest.importorskip("palimpsest.benchmark.data.formats.named")
    asked = []
    monkeypatch.setattr(named, "download", lambda *arguments: asked.append(arguments))
    catalog.require("cifar100", tmp_path)
    assert asked == [("cifar100", tmp_path)]


def test_a_relative_folder_is_sought_in_the_working_directory_then_under_the_root(
    two_classes, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert catalog.path_of("folder:pets", tmp_path) == two_classes
    (elsewhere / "pets").mkdir()
    assert catalog.path_of("folder:pets", tmp_path) == elsewhere / "pets"
    assert catalog.path_of(f"folder:{two_classes}", elsewhere) == two_classes


def test_a_missing_folder_names_every_place_and_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        catalog.require("folder:cats", tmp_path / "root")
    for part in (str(tmp_path / "cats"), str(tmp_path / "root" / "cats"), "--data-root"):
        assert part in str(caught.value)


def test_the_fingerprint_of_a_named_set_is_its_name(tmp_path):
    assert catalog.fingerprint("cifar10", tmp_path) == "cifar10"


def test_the_fingerprint_of_a_folder_follows_its_images(two_classes, tmp_path, write_image):
    def fingerprint() -> str:
        return catalog.fingerprint(f"folder:{two_classes}", tmp_path)

    before = fingerprint()
    assert before.startswith("folder:")
    assert fingerprint() == before

    (two_classes / "notes.txt").write_text("not an image")
    assert fingerprint() == before

    write_image(two_classes / "cat" / "0.png", seed=7, size=(8, 8))
    changed = fingerprint()
    assert changed != before

    (two_classes / "cat" / "0.png").rename(two_classes / "cat" / "00.png")
    assert fingerprint() not in {before, changed}


def test_the_fingerprint_of_a_folder_follows_a_change_that_keeps_the_size(two_classes, tmp_path):
    image = two_classes / "cat" / "0.png"
    before = catalog.fingerprint(f"folder:{two_classes}", tmp_path)
    modified = image.stat().st_mtime_ns
    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    os.utime(image, ns=(modified, modified + 1_000_000_000))
    assert catalog.fingerprint(f"folder:{two_classes}", tmp_path) != before


def test_a_folder_is_known_by_its_content_wherever_and_whenever_it_was_copied(
    two_classes, tmp_path, zip_of, monkeypatch
):
    cache = tmp_path / "cache"
    monkeypatch.setattr("palimpsest.benchmark.data.cache.user_cache_path", lambda _: cache)
    for image in two_classes.rglob("*.png"):
        os.utime(image, (1e8, 1e8))
    before = catalog.fingerprint(f"folder:{two_classes}", tmp_path)
    copy = shutil.copytree(two_classes, tmp_path / "copy")
    for place, image in enumerate(sorted(copy.rglob("*.png"))):
        os.utime(image, (1e9 + place, 1e9 + place))
    assert catalog.fingerprint(f"folder:{copy}", tmp_path) == before
    assert catalog.fingerprint(f"folder:{zip_of(copy)}", tmp_path) == before
    notes = [*(cache / "contents").iterdir()]
    assert len(notes) == 2
    for note in notes:  # damaged, or read in place of the images
        note.write_text("?")
    assert catalog.fingerprint(f"folder:{copy}", tmp_path) == before
    for note in notes:
        note.write_text("0123456789abcdef")
    assert catalog.fingerprint(f"folder:{copy}", tmp_path) == "folder:0123456789abcdef"


def test_the_fingerprint_of_a_zip_follows_its_images_and_not_its_place(
    two_classes, tmp_path, write_image, zip_of
):
    archive = zip_of(two_classes)
    before = catalog.fingerprint(f"folder:{archive}", tmp_path)
    moved = archive.rename(tmp_path / "moved.zip")
    assert catalog.fingerprint(f"folder:{moved}", tmp_path) == before
    write_image(two_classes / "cat" / "0.png", seed=7)
    archive = zip_of(two_classes)
    assert catalog.fingerprint(f"folder:{archive}", tmp_path) != before


def test_the_outline_is_what_is_loaded(tmp_path):
    from float_images import load

    loaded, told = load("digits", tmp_path), catalog.outline("digits", tmp_path)
    assert told == catalog.Outline(loaded.input_shape, loaded.n_classes)


def test_every_name_has_an_outline(tmp_path):
    assert all(catalog.outline(name, tmp_path).n_classes >= 10 for name in catalog.SETS)
