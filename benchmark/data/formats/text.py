"""Text as streams of word numbers, and as batches for a recurrent network."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from palimpsest.benchmark.data.cache import check_once
from palimpsest.benchmark.data.formats.text_files import (
    CUT,
    SPLITS,
    TextFiles,
    find_text,
    unreadable,
)
from palimpsest.benchmark.data.shared_data import shared
from palimpsest.benchmark.errors import UserError

UNKNOWN = "<unk>"
"""Stands for every word that is not in the vocabulary."""

END = "<eos>"
"""Stands at the end of every line."""

_CHARACTERS_AT_ONCE = 2**20
_LONGEST_WORD = 2**20

_Stream = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TextData:
    """A text in memory. Others may hold the same tensors: never write to them.

    Attributes:
        train: The numbers of the words to train on, in order, int32, shape (T,).
        valid: Those to validate on.
        test: Those to test on.
        vocabulary: The words; number i is ``vocabulary[i]``.
    """

    train: Tensor
    valid: Tensor
    test: Tensor
    vocabulary: tuple[str, ...]


def load(folder: Path, words: int | None) -> TextData:
    """Load the text of a folder.

    Words are what blanks separate, and every line ends in ``<eos>``. The vocabulary is ``<unk>``
    and the most frequent of all other words of the text to train on (of those that are equally
    frequent ``<eos>`` and what comes first); ``<unk>`` stands for the rest. All processes that
    share files (see ``benchmark/data/shared_data.py``) share the result.

    Args:
        folder: With the files that ``find_text`` expects; it says how missing splits are made.
        words: Size of the vocabulary, with ``<unk>`` and ``<eos>``; it is smaller if the text has
            fewer words. ``None``: all words.

    Returns:
        The same in every process.

    Raises:
        UserError: The folder or a file is missing, or a file is empty, binary, not UTF-8 or too
            short to be cut.
    """
    files = find_text(folder)
    return _load(files, words, files.stamp())


def check(folder: Path) -> None:
    """Read the text of a folder once, until a file changes; raises the errors of `load`."""
    files = find_text(folder)
    check_once(
        "text",
        [file for file in (files.train, files.valid, files.test) if file is not None],
        lambda: _read(files, None),
    )


@cache
def _load(files: TextFiles, words: int | None, stamp: str) -> TextData:
    key = ("text", files.folder.absolute(), words, stamp)
    (train, valid, test), vocabulary = shared(key, lambda: _read(files, words))
    return TextData(train, valid, test, vocabulary)


def windows(stream: Tensor, columns: int, length: int, name: object) -> tuple[Tensor, Tensor]:
    """Arrange a stream as batches of parallel columns, each going on where the one before ended.

    The stream is cut into ``columns`` parts of equal length, and each part into K windows of
    ``length``: sample ``k * columns + c`` is window k of part c. So batches of ``columns`` samples
    in this order continue each other, row by row. Up to ``columns * length`` words at the end are
    left over.

    Args:
        stream: Words (T,).
        columns: Parallel parts, the samples of a batch.
        length: Words of a sample.
        name: What the stream is called, for the message.

    Returns:
        Words and those that follow them, x and y: int64, shape (K * columns, length).

    Raises:
        UserError: There are not enough words.
    """
    count = (len(stream) - 1) // (columns * length)
    if count < 1:
        raise UserError(
            f"{name} has {len(stream):,} words; expected more than {columns} columns of {length} "
            f"words, {columns * length:,}: take fewer or shorter columns, or a longer text"
        )
    used = columns * count * length

    def arranged(words: Tensor) -> Tensor:
        parts = words.long().view(columns, count, length)
        return parts.transpose(0, 1).reshape(count * columns, length)

    return arranged(stream[:used]), arranged(stream[1 : used + 1])


def _read(files: TextFiles, words: int | None) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """Return the streams in the order of the splits, and the vocabulary."""
    numbers = _Numbers({UNKNOWN: 0, END: 1})
    streams = _split(files, _numbered(files.train, numbers))
    own = {"valid": files.valid, "test": files.test}
    streams |= {split: _numbered(file, numbers) for split, file in own.items() if file}
    counts = np.bincount(streams["train"], minlength=len(numbers))
    counts[0] = 0  # <unk> has its place
    ranked = np.argsort(-counts, kind="stable")
    kept = ranked[: np.count_nonzero(counts)][: None if words is None else words - 1]
    final = np.zeros(len(numbers), np.int32)
    final[kept] = np.arange(1, len(kept) + 1)
    every = tuple(numbers)
    vocabulary = (UNKNOWN, *(every[number] for number in kept))
    return tuple(torch.from_numpy(final[streams[split]]) for split in SPLITS), vocabulary


def _split(files: TextFiles, stream: _Stream) -> dict[str, _Stream]:
    """Cut what is missing off the end of the text to train on."""
    missing = files.missing
    if not missing:
        return {"train": stream}
    ends = np.flatnonzero(stream == 1) + 1
    part = len(ends) // CUT
    if part < 1:
        raise UserError(
            f"{files.train} has {len(ends)} lines, too few to cut {' and '.join(missing)} off its "
            f"end: expected at least {CUT}, or files for all of {', '.join(SPLITS)}"
        )
    cuts = [ends[len(ends) - 1 - part * before] for before in range(len(missing), 0, -1)]
    return dict(zip(("train", *missing), np.split(stream, cuts), strict=True))


class _Numbers(dict[str, int]):
    """The numbers of words, in the order in which they were first looked up."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def _numbered(file: Path, numbers: _Numbers) -> _Stream:
    """Return the words of a file as numbers, and make new numbers for new words."""
    stream = array("i")
    try:
        with file.open(encoding="utf-8-sig") as text:
            for words in _words(file, text):
                stream.extend(map(numbers.__getitem__, words))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is no text in UTF-8 ({error.reason}): convert it to UTF-8, or replace it"
        ) from None
    except OSError as error:
        raise unreadable(file, error) from None
    found = np.frombuffer(stream, np.int32)
    if not (found != 1).any():
        raise UserError(f"{file} has no words in it: expected text, words separated by blanks")
    return found


def _words(file: Path, text: TextIO) -> Iterator[list[str]]:
    """Yield the words of some characters at a time, so that only these are in memory."""
    rest, last = "", "\n"
    while block := text.read(_CHARACTERS_AT_ONCE):
        if "\0" in block:
            raise UserError(f"{file} is a binary file: expected text, words separated by blanks")
        last = block[-1]
        words = f"{rest}{block}".replace("\n", f" {END} ").split()
        rest = "" if last.isspace() else words.pop()
        if len(rest) > _LONGEST_WORD:
            raise UserError(
                f"{file} has a word of over {_LONGEST_WORD:,} characters: expected words "
                "separated by blanks"
            )
        yield words
    yield [rest] * bool(rest) + [END] * (last != "\n")
