"""Links, loops and copies in folders of images, and images that cannot be used."""

import json
import os
import shutil
import zipfile

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.data import listing
from palimpsest.benchmark.data.copies import Copies, find_copies
from palimpsest.benchmark.data.formats import folder
from palimpsest.benchmark.data.listing import list_images
from palimpsest.benchmark.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(
        "palimpsest.benchmark.data.cache.user_cache_path", lambda name: cache / name
    )
    return cache / "palimpsest" / "inspected"


def make_old(source):
    """Change the times of files to some that are known to be over."""
    for file in source.rglob("*"):
        os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**10))


@pytest.fixture
def parted(tmp_path, write_image):
    """Two classes with two images to train on and two to test on."""
    source = tmp_path / "parted"
    seed = 0
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for index in range(2):
                write_image(source / part / name / f"{index}.png", seed=(seed := seed + 1))
    return source


def test_a_set_without_copies_has_nothing_to_tell(parted, two_classes):
    assert find_copies(parted) == Copies(8, 4, 0, 0, 0)
    assert find_copies(two_classes) == Copies(20, 4, 0, 0, 0)
    assert find_copies(parted).told("x") is None


def test_test_images_in_the_training_set_are_counted(parted):
    shutil.copy(parted / "test/cat/0.png", parted / "train/cat/copy.png")
    found = find_copies(parted)
    assert found == Copies(9, 4, 1, 1, 0)
    assert "1 of 4 test images (25.0 %) are also in the training set" in found.told("x")


def test_copies_in_other_formats_and_classes_are_counted(parted):
    shutil.copy(parted / "train/cat/0.png", parted / "train/dog/copy.png")
    found = find_copies(parted)
    assert found == Copies(9, 4, 1, 0, 1)
    assert "1 images are in several classes" in found.told("x")
    (parted / "train/dog/copy.png").rename(parted / "train/cat/copy.png")
    assert "1 of 9 images are there more than once" in find_copies(parted).told("x")


def test_the_fifth_set_apart_is_that_of_loading(two_classes):
    for index in range(1, 10):
        shutil.copy(two_classes / "cat/0.png", two_classes / f"cat/{index}.png")
    found = find_copies(two_classes)
    assert (found.repeated, found.test, found.leaked) == (9, 4, 2)


def test_a_set_is_decoded_once_until_it_changes(parted, cache, monkeypatch, write_image):
    found = find_copies(parted)
    assert not cache.exists()  # it has just been written, and may change again within a tick
    make_old(parted)
    assert find_copies(parted) == found
    (note,) = cache.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(folder, "decoded", None)
        assert find_copies(parted) == found
    write_image(parted / "train/cat/new.png", seed=99)
    assert find_copies(parted).images == 9
    note.write_text("[")
    (parted / "train/cat/new.png").unlink()
    assert find_copies(parted) == found
    assert json.loads(note.read_text())["images"] == 8


@pytest.mark.parametrize("link", ["train/cat/again", "again", "test/dog/deep/again"])
@pytest.mark.parametrize("to", ["", "train", "train/cat", "test/dog"])
def test_a_folder_is_met_once_or_refused(parted, link, to):
    (parted / link).parent.mkdir(exist_ok=True)
    (parted / link).symlink_to(parted / to, target_is_directory=True)
    with pytest.raises(UserError, match=r"a loop without end; remove|would count twice; remove"):
        list_images(parted)


def test_a_link_to_a_folder_elsewhere_is_followed(parted, tmp_path):
    (parted / "train/cat").rename(tmp_path / "cats")
    (parted / "train/cat").symlink_to(tmp_path / "cats")
    assert len(list_images(parted).train) == 4


def test_what_is_no_image_file_is_refused(parted):
    bad = parted / "train/cat/bad.png"
    bad.symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"train/cat/bad.png in .* cannot be read"):
        list_images(parted)
    bad.unlink()
    os.mkfifo(bad)
    with pytest.raises(UserError, match=r"bad.png in .* is no file: remove it"):
        list_images(parted)


def test_a_zip_is_limited_before_anything_is_unpacked(tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", bytes(listing.MOST_BYTES_OF_AN_IMAGE + 1))
    assert bomb.stat().st_size < 200_000
    with pytest.raises(UserError, match=r"a/0.png in .* has over 64 MB"):
        list_images(bomb)


def test_more_pixels_than_memory_holds_are_refused(parted, monkeypatch):
    monkeypatch.setattr("palimpsest.benchmark.data.formats.decoding.MOST_BYTES", 8 * 4 * 6 * 3 - 1)
    with pytest.raises(UserError, match="has 8 images of 6 x 4 pixels, over"):
        find_copies(parted)


def suite_of(folder, where):
    suite = where / "suite.yaml"
    suite.write_text(
        "suite: pets\nseeds: 1\nscenarios:\n  pets:\n    family: two_models\n"
        f"    data: folder:{folder}\n    steps: 1\n    width: 2\nstrategies: {{finetune: {{}}}}\n"
    )
    return str(suite)


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["run", *map(str, arguments)])
    return ended.value.code, capsys.readouterr().err


def test_copies_are_told_at_the_start(parted, tmp_path, capsys):
    shutil.copy(parted / "test/cat/0.png", parted / "train/cat/copy.png")
    store = tmp_path / "runs.db"
    suite = suite_of(parted, tmp_path)
    code, err = told(capsys, suite, "--store", store, "--dry-run")
    assert code == 0
    assert err.startswith("palimpsest: warning: data set 'folder:")
    assert "1 of 4 test images (25.0 %)" in err


def test_a_zip_file_is_listed_once_until_it_changes(parted, zip_of, monkeypatch):
    archive, listed = zip_of(parted), []
    members = listing.members
    monkeypatch.setattr(listing, "members", lambda path: listed.append(path) or members(path))
    for time in (0, 0, 1, 1):
        os.utime(archive, (time, time))
        assert len(list_images(archive).train) == 4
    assert len(listed) == 2
    os.utime(archive)  # just now: it may change again with the same time
    assert list_images(archive) == list_images(archive)
    assert len(listed) == 4
