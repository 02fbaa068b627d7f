"""What is kept of data between commands: decoded images, and that data were found to be right."""

import os
import stat

import pytest
import torch

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.data import cache, catalog
from palimpsest.benchmark.data.formats import folder
from palimpsest.benchmark.data.kept import keep_images, kept_images
from palimpsest.benchmark.errors import UserError

IMAGES = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv(cache.LIMIT, raising=False)
    return tmp_path / "cache" / "palimpsest"


def make_old(source):
    for file in source.rglob("*"):
        os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**10))


def same(one, other):
    return torch.equal(one.train_x, other.train_x) and torch.equal(one.test_x, other.test_x)


def test_images_are_decoded_once_and_are_the_same_from_the_cache(two_classes, place, monkeypatch):
    first = folder.read(two_classes)
    assert not (place / "decoded").exists()  # its files are new, and may change within a tick
    make_old(two_classes)
    folder.read(two_classes)
    monkeypatch.setattr(folder, "decoded", None)
    again = folder.read(two_classes)
    assert same(first, again)
    assert torch.equal(first.train_y, again.train_y)
    again.train_x[0] = 0  # changes a copy
    assert same(first, folder.read(two_classes))


def test_another_content_is_decoded_anew(two_classes, write_image):
    make_old(two_classes)
    before = folder.read(two_classes)
    write_image(two_classes / "cat/0.png", seed=999)
    assert not same(before, folder.read(two_classes))


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "pixel", "shape", "start", "fifo"])
def test_a_damaged_entry_is_noticed(place, damage):
    keep_images("a", IMAGES)
    assert torch.equal(kept_images("a", 2), IMAGES)
    (file,) = (place / "decoded").iterdir()
    content = bytearray(file.read_bytes())
    if damage == "fifo":
        file.unlink()
        os.mkfifo(file)
    else:
        changed = {"pixel": -1, "shape": 24, "start": 0}
        if damage in changed:
            content[changed[damage]] ^= 1
        short = {"empty": b"", "cut": content[:-1], "longer": content + b"x"}
        file.write_bytes(short.get(damage, bytes(content)))
    assert kept_images("a", 2) is None


def test_only_files_of_this_user_are_trusted(place, monkeypatch):
    keep_images("a", IMAGES)
    assert kept_images("a", 3) is None  # of another number
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert kept_images("a", 2) is None
    monkeypatch.undo()
    (file,) = (place / "decoded").iterdir()
    file.rename(place / "else")
    file.symlink_to(place / "else")
    assert kept_images("a", 2) is None


def test_the_images_used_longest_ago_go_first(place, monkeypatch):
    size = IMAGES.nbytes + 56
    monkeypatch.setenv(cache.LIMIT, str(2.5 * size / 1e9))
    for number, name in enumerate("abc"):
        keep_images(name, IMAGES)
        for file in (place / "decoded").iterdir():
            if f"-{name}." in file.name:
                os.utime(file, (number, number))
        if name == "b":
            assert kept_images("a", 2) is not None  # used since
    assert [kept_images(name, 2) is not None for name in "abc"] == [True, False, True]
    monkeypatch.setenv(cache.LIMIT, "0")
    keep_images("d", IMAGES)
    assert kept_images("d", 2) is None


def test_where_nothing_can_be_written_nothing_is_kept(two_classes, place):
    place.parent.mkdir()
    place.write_text("a file in place of the folder")
    make_old(two_classes)
    assert same(folder.read(two_classes), folder.read(two_classes))


def test_a_full_disk_leaves_nothing_behind(place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    keep_images("a", IMAGES)
    assert [*(place / "decoded").iterdir()] == []


def test_a_limit_that_is_no_number(monkeypatch):
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv(cache.LIMIT, wrong)
        with pytest.raises(UserError, match=r"expected how many GB of decoded images"):
            cache.limit()


def test_data_are_read_once_until_they_change(tmp_path, monkeypatch):
    text = tmp_path / "train.txt"
    text.write_text("one two three\n" * 20)
    make_old(tmp_path)
    catalog.inspected(f"text:{tmp_path}", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("palimpsest.benchmark.data.formats.text._read", None)
        catalog.inspected(f"text:{tmp_path}", tmp_path)
    text.write_bytes(b"\xff\xfe one")
    with pytest.raises(UserError, match="no text in UTF-8"):
        catalog.inspected(f"text:{tmp_path}", tmp_path)


def test_the_command_shows_and_clears_the_cache_and_nothing_else(place, capsys):
    keep_images("a", IMAGES)
    (place / "MNIST").mkdir()
    (place / "MNIST/data").write_text("stays")
    for arguments in ([], ["--clear"], []):
        with pytest.raises(SystemExit) as left:
            main(["cache", *arguments])
        assert left.value.code == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "decoded:" in line]
    assert [("1 file," in line, "removed" in line) for line in lines] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    assert (place / "MNIST/data").read_text() == "stays"


def test_the_cache_is_the_users_alone(place):
    keep_images("a", IMAGES)
    (file,) = (place / "decoded").iterdir()
    assert stat.S_ISREG(file.stat().st_mode)
    assert file.stat().st_uid == os.geteuid()
