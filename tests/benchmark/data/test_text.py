"""Text: splits, vocabulary and the arrangement in columns, against loops over lines and words."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from palimpsest.benchmark.data import shared_data
from palimpsest.benchmark.data.formats import text
from palimpsest.benchmark.data.formats.text import END, UNKNOWN, load, windows
from palimpsest.benchmark.data.formats.text_files import find_text
from palimpsest.benchmark.data.paths import path_of
from palimpsest.benchmark.errors import UserError

LINES = 60


@pytest.fixture
def write(tmp_path):
    """Write lines of random words to files of a folder, and return the lines."""

    def write(*names, lines=LINES, seed=0, ending="\n"):
        draw = random.Random(seed)
        words = [f"w{i}" for i in range(30)] + ["über", "naïve", UNKNOWN]
        found = {}
        for name in names:
            own = [
                " ".join(draw.choices(words, [1 / i for i in range(1, 34)], k=draw.randrange(9)))
                for _ in range(lines)
            ]
            (tmp_path / name).write_text(ending.join([*own, ""]), "utf-8", newline="")
            found[name] = own
        return tmp_path, found

    yield write
    shared_data.share_through(None)


def words_of(lines):
    return [word for line in lines for word in [*line.split(), END]]


def told(data, split):
    return [data.vocabulary[number] for number in getattr(data, split).tolist()]


def expected(lines, vocabulary):
    return [word if word in vocabulary else UNKNOWN for word in words_of(lines)]


@pytest.mark.parametrize("layout", ["{}.txt", "ptb.{}.txt", "wiki.{}.tokens"])
@pytest.mark.parametrize("words", [2, 12, 35, 99, None])
def test_words_are_those_of_the_files(write, layout, words):
    names = [layout.format(split) for split in ("train", "valid", "test")]
    folder, lines = write(*names)
    data = load(folder, words)
    counts = Counter(words_of(lines[names[0]]))
    del counts[UNKNOWN]
    in_order = [word for word, _ in counts.most_common()]  # ties: as they come
    assert data.vocabulary == (UNKNOWN, *in_order[: None if words is None else words - 1])
    for split, name in zip(("train", "valid", "test"), names, strict=True):
        assert told(data, split) == expected(lines[name], data.vocabulary)
        assert getattr(data, split).dtype == torch.int32


def test_words_that_are_only_in_other_splits_are_unknown(tmp_path):
    for name, content in {"train": "a b a\n", "valid": "c a\n", "test": "b d\n"}.items():
        (tmp_path / f"{name}.txt").write_text(content)
    data = load(tmp_path, None)
    assert data.vocabulary == (UNKNOWN, "a", END, "b")
    assert told(data, "valid") == [UNKNOWN, "a", END]
    assert told(data, "test") == ["b", UNKNOWN, END]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_files_are_read_a_part_at_a_time(write, monkeypatch, size, ending):
    folder, lines = write("train.txt", "valid.txt", "test.txt", ending=ending)
    (folder / "test.txt").write_text("no line end\n\n  at the very last", "utf-8")
    (folder / "valid.txt").write_bytes(b"\xef\xbb\xbfw1 w2\tw3\n")  # with a byte order mark
    monkeypatch.setattr(text, "_CHARACTERS_AT_ONCE", size)
    numbers = text._Numbers({UNKNOWN: 0, END: 1})
    read = text._numbered(folder / "train.txt", numbers)
    assert [[*numbers][n] for n in read] == words_of(lines["train.txt"])
    assert [[*numbers][n] for n in text._numbered(folder / "test.txt", numbers)] == [
        *("no", "line", "end", END, END, "at", "the", "very", "last", END)
    ]
    assert [[*numbers][n] for n in text._numbered(folder / "valid.txt", numbers)] == [
        *("w1", "w2", "w3", END)
    ]


@pytest.mark.parametrize(
    "there, train, parts, said",
    [
        (("valid", "test"), "valid", {"valid": (54, 60)}, "valid.txt is to validate on, and"),
        (("train", "test"), "train", {"valid": (54, 60)}, "train.txt is to validate on, and"),
        (("train", "valid"), "train", {"test": (54, 60)}, "train.txt is to test on, and"),
        (("train",), "train", {"valid": (48, 54), "test": (54, 60)},
         "train.txt is to test on, the tenth before it to validate on, and"),
        (("test",), "test", {"valid": (48, 54), "test": (54, 60)}, "test.txt is to test on, the"),
        (("valid",), "valid", {"valid": (48, 54), "test": (54, 60)}, "valid.txt is to test"),
    ],
)  # fmt: skip
def test_a_split_without_a_file_is_cut_from_the_end(write, there, train, parts, said):
    folder, lines = write(*(f"{split}.txt" for split in there))
    data = load(folder, None)
    whole = lines[f"{train}.txt"]
    end = min(first for first, _ in parts.values())
    assert told(data, "train") == expected(whole[:end], data.vocabulary)
    for split in ("valid", "test"):
        first, last = parts.get(split, (0, LINES))
        own = whole if split in parts else lines[f"{split}.txt"]
        assert told(data, split) == expected(own[first:last], data.vocabulary)
    assert f"for each of train, valid, test: the last tenth of the lines of {said}" in (
        find_text(folder).told("text:here")
    )


def test_nothing_is_told_where_nothing_is_cut(write):
    folder, _ = write("train.txt", "valid.txt", "test.txt")
    assert find_text(folder).told("text:here") is None


def test_a_text_is_the_same_through_other_processes_files(write, tmp_path_factory, monkeypatch):
    folder, _ = write("train.txt", "valid.txt", "test.txt")
    own = load(folder, 10)
    assert load(folder, 10) is own
    shared_data.share_through(tmp_path_factory.mktemp("shared"))
    text._load.cache_clear()
    load(folder, 10)
    text._load.cache_clear()
    monkeypatch.setattr(text, "_read", None)  # it is there already
    mapped = load(folder, 10)
    assert mapped is not own
    assert mapped.vocabulary == own.vocabulary
    for split in ("train", "valid", "test"):
        assert torch.equal(getattr(mapped, split), getattr(own, split))


def test_a_file_that_has_changed_is_read_again(write):
    folder, _ = write("train.txt", "valid.txt", "test.txt")
    before = load(folder, None)
    write("train.txt", seed=1, lines=LINES + 1)
    assert not torch.equal(load(folder, None).train[:100], before.train[:100])


@pytest.mark.parametrize("columns, length", [(1, 1), (3, 4), (5, 20), (4, 24), (2, 50)])
def test_windows_are_columns_that_go_on(columns, length):
    stream = torch.randint(1000, (101,), dtype=torch.int32)
    x, y = windows(stream, columns, length, "here")
    count = 100 // (columns * length)
    assert x.shape == y.shape == (columns * count, length)
    assert x.dtype == y.dtype == torch.int64
    for column in range(columns):
        begin = column * count * length
        rows = [k * columns + column for k in range(count)]
        assert x[rows].flatten().tolist() == stream[begin : begin + count * length].tolist()
        assert y[rows].flatten().tolist() == stream[begin + 1 :][: count * length].tolist()


def test_too_few_words_for_the_columns():
    windows(torch.arange(13), 3, 4, "here")
    with pytest.raises(UserError, match=r"^here has 12 words; expected more than 3 columns of 4"):
        windows(torch.arange(12), 3, 4, "here")
    with pytest.raises(UserError, match="here has 0 words"):
        windows(torch.arange(0), 3, 4, "here")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "train.txt has no words in it: expected text"),
        (b"\n \n\t\n", "train.txt has no words in it"),
        (b"a b \x00 c\n" * 20, "train.txt is a binary file"),
        ("caf\u00e9 ".encode("latin-1") * 20, r"train.txt is no text in UTF-8 \(invalid"),
        ("word ".encode("utf-16") * 20, "train.txt is no text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "train.txt is no text in UTF-8"),
        (b"a\n" * 9, "train.txt has 9 lines, too few to cut valid and test off its end"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, message):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path, 10)


def test_a_file_of_one_endless_word(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_CHARACTERS_AT_ONCE", 70)
    monkeypatch.setattr(text, "_LONGEST_WORD", 100)
    (tmp_path / "train.txt").write_text("x" * 300)
    with pytest.raises(UserError, match=r"train\.txt has a word of over 100 characters"):
        load(tmp_path, 10)


def test_folders_that_have_no_text(tmp_path):
    with pytest.raises(UserError, match=r"has no text in it: expected a folder with train\.txt, "):
        find_text(tmp_path)
    with pytest.raises(UserError, match=r"missing is no folder: expected a folder with train\.txt"):
        find_text(tmp_path / "missing")
    (tmp_path / "train.txt").mkdir()
    with pytest.raises(UserError, match=r"train\.txt is no file of text"):
        load(tmp_path, 10)


def test_a_folder_is_looked_for_here_and_under_the_data_root(tmp_path, monkeypatch):
    root, here = tmp_path / "root", tmp_path / "here"
    (root / "texts" / "own").mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    assert path_of("text:texts/own", root) == root / "texts" / "own"
    assert path_of(f"text:{root}", Path("nowhere")) == root
    (here / "texts" / "own").mkdir(parents=True)
    assert path_of("text:texts/own", root) == here / "texts" / "own"
    with pytest.raises(
        UserError, match=r"'text:other' was not found: looked for a folder at .*or "
    ):
        path_of("text:other", root)
    with pytest.raises(UserError, match="data set 'text: ' has no path: write text:PATH"):
        path_of("text: ", root)


def test_a_text_is_known_by_its_content_wherever_it_lies(tmp_path):
    prints = []
    for place, words in (("here", "a b c"), ("there", "a b c"), ("changed", "a b d")):
        folder = tmp_path / place
        folder.mkdir()
        for split in ("train", "valid", "test"):
            (folder / f"{split}.txt").write_text(f"{words}\n")
            os.utime(folder / f"{split}.txt", (0, 5 if place == "there" else 9))
        prints.append((find_text(folder).fingerprint(), find_text(folder).stamp()))
    (here, stamp), (there, later), (changed, same_time) = prints
    assert here == there != changed
    assert later != stamp == same_time
