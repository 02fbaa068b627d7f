"""Images that a data set has more than once, found by a hash of their pixels; needs no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

from benchmark.data.decoding import decoded
from benchmark.data.listing import Listing, list_images
from benchmark.data.stratified import TEST_SEED, TEST_SHARE, held_out

_VERSION = 1
"""Of what is checked: what was found by another one is not taken."""


@dataclass(frozen=True)
class Copies:
    """How many images of a data set are there more than once.

    Attributes:
        images: All images.
        test: Those to test on.
        repeated: Images that are equal to an earlier one.
        leaked: Test images that are also among the training images.
        contradictory: Different images that are in several classes.
    """

    images: int
    test: int
    repeated: int
    leaked: int
    contradictory: int

    def told(self, name: str) -> str | None:
        """Return what a user should know about it before training; ``None`` if there is nothing.

        Args:
            name: Of the data set.
        """
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

    Args:
        path: The folder or the zip file.

    Raises:
        UserError: As for ``list_images`` and ``decoded``: also what would fail only when it trains.
    """
    listing = list_images(path)
    note = user_cache_path("palimpsest") / "inspected" / f"{_VERSION}-{listing.fingerprint()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):  # not there yet, or not ours
        return Copies(**json.loads(note.read_text("utf-8")))
    found = _compared(path, listing)
    with contextlib.suppress(OSError):  # a cache that cannot be written saves nothing
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(asdict(found)), "utf-8")
    return found


def _compared(path: Path, listing: Listing) -> Copies:
    files = (*listing.train, *listing.test)
    labels = [file.label for file in files]
    prints = [
        hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in decoded(path, files)
    ]
    if listing.test:
        in_test = [index >= len(listing.train) for index in range(len(files))]
    else:
        in_test = held_out(labels, TEST_SHARE, TEST_SEED).tolist()
    train = {one for one, test in zip(prints, in_test, strict=True) if not test}
    classes: dict[bytes, set[int]] = {}
    for one, label in zip(prints, labels, strict=True):
        classes.setdefault(one, set()).add(label)
    return Copies(
        images=len(files),
        test=sum(in_test),
        repeated=len(files) - len(classes),
        leaked=sum(test and one in train for one, test in zip(prints, in_test, strict=True)),
        contradictory=sum(len(each) > 1 for each in classes.values()),
    )
