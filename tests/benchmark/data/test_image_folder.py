from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from palimpsest.benchmark.data.formats import folder
from palimpsest.benchmark.data.formats.zip_members import members
from palimpsest.benchmark.errors import UserError


def test_top_folders_are_classes_and_a_fifth_of_each_is_set_apart(two_classes):
    raw = folder.read(two_classes)
    assert raw.classes == ("cat", "dog")
    assert raw.train_x.shape == (16, 3, 4, 6)
    assert raw.train_x.dtype == torch.uint8
    assert raw.train_y.dtype == torch.int64
    assert raw.train_y.bincount().tolist() == [8, 8]
    assert raw.test_y.bincount().tolist() == [2, 2]
    images = {tuple(image.flatten().tolist()) for image in (*raw.train_x, *raw.test_x)}
    assert len(images) == 20


def test_train_and_test_folders_are_kept_apart_and_in_order(tmp_path, write_image):
    source = tmp_path / "pets"
    expected = {}
    for part in ("train", "test"):
        for name in ("dog", "cat"):
            for index in (1, 0):
                file = source / part / name / f"{index}.png"
                expected[part, name, index] = write_image(file, seed=len(expected))
    raw = folder.read(source)
    assert raw.train_y.tolist() == raw.test_y.tolist() == [0, 0, 1, 1]
    for part, x in (("train", raw.train_x), ("test", raw.test_x)):
        keys = [(part, name, index) for name in ("cat", "dog") for index in (0, 1)]
        pixels = np.stack([expected[key] for key in keys]).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(x.numpy(), pixels)


@pytest.mark.parametrize("wrapper", ["", "pets/", "a/b/"])
def test_a_zip_reads_as_the_folder_does(two_classes, zip_of, wrapper):
    from_folder = folder.read(two_classes)
    from_zip = folder.read(zip_of(two_classes, wrapper))
    assert from_zip.classes == from_folder.classes
    for name in ("train_x", "train_y", "test_x", "test_y"):
        assert torch.equal(getattr(from_zip, name), getattr(from_folder, name))


def test_images_in_grey_keep_one_channel(tmp_path, write_image):
    source = tmp_path / "grey"
    pixels = [write_image(source / name / "0.png", seed=ord(name), mode="L") for name in "ab"]
    for name in "ab":
        write_image(source / name / "1.png", mode="L")
    raw = folder.read(source)
    assert raw.train_x.shape == (2, 1, 4, 6)
    shown = torch.cat([raw.train_x, raw.test_x])
    for image in pixels:
        assert any(np.array_equal(image, candidate[0].numpy()) for candidate in shown)


def test_one_image_in_colour_makes_all_rgb(tmp_path, write_image):
    source = tmp_path / "mixed"
    for part in ("train", "test"):
        for name in "ab":
            grey = write_image(source / part / name / "0.png", seed=1, mode="L")
    colour = write_image(source / "test" / "b" / "0.png", seed=2)
    raw = folder.read(source)
    assert raw.train_x.shape == (2, 3, 4, 6)
    np.testing.assert_array_equal(raw.train_x[0].numpy(), np.stack([grey] * 3))
    np.testing.assert_array_equal(raw.test_x[1].numpy(), colour.transpose(2, 0, 1))


def test_the_usual_image_formats_are_read(tmp_path, write_image):
    source = tmp_path / "formats"
    for extension in ("bmp", "gif", "JPEG", "jpg", "pgm", "png", "ppm", "webp"):
        for name in "ab":
            mode = "L" if extension == "pgm" else "RGB"
            write_image(source / name / f"image.{extension}", mode=mode)
    raw = folder.read(source)
    assert len(raw.train_y) + len(raw.test_y) == 16


def test_hidden_files_macos_leftovers_and_other_files_are_passed_over(two_classes, zip_of):
    before = folder.read(two_classes)
    for junk in (
        "cat/notes.txt",
        "cat/.hidden.png",
        ".git/a.png",
        "__MACOSX/cat/._0.png",
        "__MACOSX/cat/0.png",
        "preview.png",
    ):
        file = two_classes / junk
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"junk")
    for source in (two_classes, zip_of(two_classes)):
        after = folder.read(source)
        assert after.classes == before.classes
        assert torch.equal(after.train_x, before.train_x)


def test_a_missing_source(tmp_path):
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        folder.read(tmp_path / "nowhere")


def test_images_outside_class_folders_are_no_classes(tmp_path, write_image):
    for part in ("train", "test"):
        for index in range(3):
            write_image(tmp_path / "flat" / part / f"{index}.png")
    with pytest.raises(UserError, match="no images in class folders"):
        folder.read(tmp_path / "flat")


def test_a_single_class(tmp_path, write_image):
    for index in range(3):
        write_image(tmp_path / "one" / "cat" / f"{index}.png")
    with pytest.raises(UserError, match=r"only one class folder \('cat'\)"):
        folder.read(tmp_path / "one")


def test_a_class_with_a_single_image(two_classes, write_image):
    write_image(two_classes / "emu" / "0.png")
    with pytest.raises(UserError, match=r"class 'emu' of .* has a single image"):
        folder.read(two_classes)


@pytest.mark.parametrize(("has", "lacks"), [("train", "test"), ("test", "train")])
def test_a_class_in_one_of_train_and_test_only(tmp_path, write_image, has, lacks):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            write_image(tmp_path / part / name / "0.png")
    write_image(tmp_path / has / "emu" / "0.png")
    with pytest.raises(UserError, match=rf"class 'emu' .* images in {has}/ and none in {lacks}/"):
        folder.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_what_is_no_image_is_told_alike_each_time(two_classes, content):
    """Pillow's own message has the address of an object."""
    if content is None:  # of a format that is not among the extensions
        Image.new("RGB", (6, 4)).save(two_classes / "dog" / "3.png", format="TIFF")
    else:
        (two_classes / "dog" / "3.png").write_bytes(content)
    with pytest.raises(UserError, match=r"decoded \(no image of the formats BMP, GIF, JPEG, PNG"):
        folder.read(two_classes)


def test_a_damaged_directory_of_a_zip_that_hides_images_is_refused(two_classes, zip_of):
    """A comment that is said to be longer swallows what comes after it."""
    archive = zip_of(two_classes)
    content = bytearray(archive.read_bytes())
    first = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", first + 1)
    third = content.find(b"PK\x01\x02", second + 1)
    content[first + 32] = third - second
    archive.write_bytes(content)
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 19  # Python says nothing
    with pytest.raises(UserError, match="its directory has 19 members and says 20"):
        folder.read(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_image_that_a_zip_has_twice_counts_once(two_classes, zip_of, write_image):
    archive = zip_of(two_classes)
    write_image(two_classes / "dog" / "3.png", seed=999)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.write(two_classes / "dog" / "3.png", "dog/3.png")
    twice, once = folder.read(archive), folder.read(two_classes)
    assert torch.equal(twice.train_x, once.train_x)
    assert torch.equal(twice.test_x, once.test_x)


@pytest.mark.parametrize("comment", [b"", b"c" * 3000])
def test_members_are_counted_in_large_zips_and_behind_comments(tmp_path, comment):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = comment
        for number in range(2**16 + 5):
            archive.writestr(f"{number:x}", b"")
    assert len(members(path)) == 2**16 + 5


def test_a_folder_that_may_not_be_read_is_named(two_classes, monkeypatch):
    opened = os.scandir

    def denied(path):
        if os.fspath(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return opened(path)

    monkeypatch.setattr(os, "scandir", denied)  # root may read everything
    with pytest.raises(UserError, match=r"dog cannot be read \(Permission denied\)"):
        folder.read(two_classes)


def test_sixteen_bits_of_grey_are_refused(two_classes):
    image = Image.fromarray(np.full((4, 6), 40_000, dtype=np.uint16))
    image.save(two_classes / "dog" / "3.png")
    with pytest.raises(UserError, match=r"dog/3.png in .* more than 8 bits per channel"):
        folder.read(two_classes)


def test_two_sizes_are_named_with_both_images(two_classes, write_image):
    write_image(two_classes / "dog" / "3.png", size=(5, 9))
    with pytest.raises(UserError) as caught:
        folder.read(two_classes)
    assert "cat/0.png has 6 x 4 pixels, dog/3.png has 5 x 9" in str(caught.value)
