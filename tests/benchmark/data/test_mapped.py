"""Large data sets: decoded into a file that is mapped, with the same numbers."""

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from palimpsest.benchmark.data import mapped
from palimpsest.benchmark.data.formats import folder, images, pixels
from palimpsest.benchmark.data.formats.images import load_pixels
from palimpsest.benchmark.data.formats.pixels import joined, subset
from palimpsest.benchmark.data.mapped import room_for
from palimpsest.benchmark.data.shared_data import share_through
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.scenarios.families.permuted import Permuted
from palimpsest.benchmark.scenarios.loading import load_data_set

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture(autouse=True)
def afresh():
    load_pixels.cache_clear()
    load_data_set.cache_clear()
    yield
    share_through(None)
    load_pixels.cache_clear()
    load_data_set.cache_clear()


@pytest.fixture
def large(monkeypatch, tmp_path):
    """Everything counts as large; files are in the returned folder."""
    place = tmp_path / "files"
    place.mkdir()
    monkeypatch.setattr(mapped, "MAPPED_FROM", 1)
    monkeypatch.setattr(mapped.tempfile, "gettempdir", lambda: str(place))
    return place


def behind(tensor):
    """The file that a tensor's memory is mapped from, or an empty text."""
    address = tensor.untyped_storage().data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= address < last:
            return " ".join(line.split()[5:])
    return ""


@linux_only
def test_the_file_has_no_name_and_is_where_it_should_be(large, tmp_path):
    room = room_for((3, 2, 5, 5))
    assert room.shape == (3, 2, 5, 5) and room.dtype == torch.uint8
    assert behind(room).startswith(str(large)) and "(deleted)" in behind(room)
    assert list(large.iterdir()) == []
    share_through(tmp_path)
    assert behind(room_for((1, 1, 5, 5))).startswith(str(tmp_path))
    room[:] = 7
    assert int(room.sum()) == 7 * 150


@linux_only
def test_what_is_small_is_in_memory():
    assert "images" not in behind(room_for((3, 1, 5, 5)))


@linux_only
@pytest.mark.parametrize("parts", ["two_classes", "with_test"])
def test_a_folder_has_the_same_images_from_a_file(large, two_classes, tmp_path, parts, monkeypatch):
    source = two_classes
    if parts == "with_test":
        source = tmp_path / "parted"
        for part in ("train", "test"):
            shutil.copytree(two_classes, source / part)
    found = folder.read(source)
    monkeypatch.setattr(mapped, "MAPPED_FROM", 2**30)
    expected = folder.read(source)
    for name in ("train_x", "train_y", "test_x", "test_y"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert str(large) in behind(found.train_x)
    assert found.train_x.untyped_storage().data_ptr() == found.test_x.untyped_storage().data_ptr()
    assert str(large) not in behind(expected.train_x)


@linux_only
def test_permuted_copies_are_in_files_too(large, tmp_path, monkeypatch):
    found = Permuted(data="digits", width=4, experiences=2).build(0, tmp_path, "cpu")
    x = found.train[1].dataset.samples[0]
    assert str(large) in behind(x.stored)
    monkeypatch.setattr(mapped, "MAPPED_FROM", 2**30)
    expected = Permuted(data="digits", width=4, experiences=2).build(0, tmp_path, "cpu")
    assert torch.equal(x[:], expected.train[1].dataset.samples[0][:])


@linux_only
def test_images_that_are_joined_are_in_a_file_too(large, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "_IMAGES_AT_ONCE", 100)
    built = Permuted(data="digits", width=4, experiences=2).build(0, tmp_path, "cpu")
    one, other = (built.train[i].dataset.samples[0] for i in range(2))
    some = subset(other, torch.arange(250).flip(0))
    both = joined(one, some)
    assert str(large) in behind(both.stored)
    assert torch.equal(both[:], torch.cat([one[:], some[:]]))


def test_no_room_for_the_file_is_told_in_a_sentence(large, two_classes, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mapped.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match=r"has no room for .*\(No space left on device\): free"):
        load_pixels(f"folder:{two_classes}", two_classes.parent)
    assert list(large.iterdir()) == []


def test_moving_pixels_in_parts_is_moving_them_at_once(monkeypatch, tmp_path):
    pixels = load_pixels("digits", tmp_path).train_x
    monkeypatch.setattr("palimpsest.benchmark.data.formats.pixels._IMAGES_AT_ONCE", 7)
    turned = pixels.subset(torch.arange(50)).moved(lambda x: x.rot90(1, (-2, -1)))
    assert torch.equal(turned.stored, pixels.stored[:50].rot90(1, (-2, -1)))


def test_statistics_in_parts_are_those_at_once(monkeypatch, tmp_path):
    x = load_pixels("digits", tmp_path).train_x.stored
    expected = images.statistics(x)
    monkeypatch.setattr(images, "_IMAGES_AT_ONCE", 13)
    assert all(map(torch.equal, images.statistics(x), expected))
