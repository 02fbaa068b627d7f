"""Finds images that a data set has more than once, by a hash of their pixels."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from palimpsest.benchmark.data.cache import INSPECTED, keep_note, note
from palimpsest.benchmark.data.contents import ImageSource
from palimpsest.benchmark.data.formats.decoding import PixelArray, decoded
from palimpsest.benchmark.data.splits import held_out

_VERSION = 2
"""The version of this check; results of another one are not used."""


@dataclass(frozen=True)
class Copies:
    """Counts of a data set's images.

    Attributes:
        images: All images.
        test: The test images.
        repeated: Images that are equal to an earlier one.
        leaked: Test images that are also training images.
        contradictory: Different images that are in several classes.
    """

    images: int
    test: int
    repeated: int
    leaked: int
    contradictory: int

    def told(self, name: str) -> str | None:
        """Return a warning about the data set of a name; ``None`` if nothing is wrong."""
        parts = []
        if self.leaked:
            share = 100 * self.leaked / self.test
            parts.append(
                f"{self.leaked:,} of {self.test:,} test images ({share:.1f} %) are also in the "
                "training set, so that accuracies on them say nothing about new images"
            )
        if self.contradictory:
            parts.append(f"{self.contradictory:,} images are in several classes")
        if not parts and self.repeated:
            parts.append(f"{self.repeated:,} of {self.images:,} images are there more than once")
        return f"data set {name!r}: {'; '.join(parts)}" if parts else None


def find_copies(path: Path) -> Copies:
    """Decode all images of a folder or a zip file, and compare them; once, until they change.

    The decoded images are kept for the next reader.

    Raises:
        UserError: As for ``list_images`` and ``decoded``: also what only training would find.
    """
    source = ImageSource.of(path)
    name = f"{_VERSION}-{source.moment}.json"
    with contextlib.suppress(ValueError, TypeError, RecursionError):  # not there, or not ours
        return Copies(**json.loads(note(INSPECTED, name) or ""))
    found = _compared(source)
    if source.is_unchanged():
        keep_note(INSPECTED, name, json.dumps(asdict(found)))
    return found


def _compared(source: ImageSource) -> Copies:
    listing = source.listing
    labels = [file.label for file in (*listing.train, *listing.test)]
    if listing.test:
        in_test = [index >= len(listing.train) for index in range(len(labels))]
    else:
        in_test = held_out(labels).tolist()
    prints = [hashlib.blake2b(image, digest_size=16).digest() for image in _images(source)]
    train = {one for one, test in zip(prints, in_test, strict=True) if not test}
    classes: dict[bytes, set[int]] = {}
    for one, label in zip(prints, labels, strict=True):
        classes.setdefault(one, set()).add(label)
    return Copies(
        images=len(labels),
        test=sum(in_test),
        repeated=len(labels) - len(classes),
        leaked=sum(test and one in train for one, test in zip(prints, in_test, strict=True)),
        contradictory=sum(len(each) > 1 for each in classes.values()),
    )


def _images(source: ImageSource) -> Iterator[bytes]:
    """Yield the pixels of each image, in the order of the listing."""
    from palimpsest.benchmark.data.formats.folder import stacked  # imports torch
    from palimpsest.benchmark.data.mapped import NoRoomError

    try:
        images, place = stacked(source)
    except NoRoomError:  # here; where they train there may be more
        files = (*source.listing.train, *source.listing.test)
        yield from map(_in_colour, decoded(source.path, files))
        return
    for index in place:
        yield images[index].numpy().tobytes()


def _in_colour(image: PixelArray) -> bytes:
    return np.repeat(image, 3 // image.shape[2], axis=2).tobytes()
