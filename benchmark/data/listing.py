"""Lists the images in a folder or a zip file, without decoding them and without torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from palimpsest.benchmark.data.cache import settled
from palimpsest.benchmark.data.formats.annotated import classes_of_val, is_annotated
from palimpsest.benchmark.data.formats.zip_members import UNREADABLE, members
from palimpsest.benchmark.errors import UserError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")

MOST_BYTES_OF_AN_IMAGE = 2**26
"""The limit of a file's size; in a zip file, of its unpacked size."""


@dataclass(frozen=True)
class ImageFile:
    """One image of a listing.

    Attributes:
        member: The path inside the folder or the zip file, with ``/`` on every system.
        label: The index of the image's class.
        stamp: Text that changes when the image does: size and CRC, or size and time.
    """

    member: str
    label: int
    stamp: str


@dataclass(frozen=True)
class Listing:
    """The images of a folder or a zip file, sorted.

    Attributes:
        classes: The names of the classes, sorted.
        train: The images to train on; all of them if the source has no ``train/`` and ``test/``.
        test: The images of ``test/``; empty if the source has no such split.
    """

    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any image's path or stamp."""
        digest = hashlib.sha256()
        for file in (*self.train, *self.test):
            digest.update(f"{file.member}\0{file.stamp}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Found:
    """An image's path inside its source, its folders from the class on, and its stamp."""

    member: str
    parts: tuple[str, ...]
    stamp: str

    def below_top(self) -> _Found:
        return _Found(self.member, self.parts[1:], self.stamp)


def list_images(path: Path) -> Listing:
    """Find the images of a folder or a zip file and their classes.

    Where there are both ``train/CLASS/...`` and ``test/CLASS/...``, these are the two splits. As in
    Tiny ImageNet, ``val/images/...`` with ``val/val_annotations.txt`` is the one to test on (its
    ``test`` has no labels). Otherwise each top folder is a class. A single folder around
    everything, as archivers add it, is opened. Hidden files, ``__MACOSX``, files that are not
    images and images outside a class folder are ignored.

    A zip file is listed once, until its size or time changes.

    Args:
        path: A folder, or a zip file with the same content.

    Returns:
        The images in the order of their paths, with their classes.

    Raises:
        UserError: If there is no such folder or zip file, no image, fewer than two classes, a class
            with too few images, or a class that is only in one of ``train`` and ``test``.
    """
    began = time.time_ns()
    with contextlib.suppress(OSError, ValueError):  # which listing it reports
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and settled([status.st_mtime_ns], began):
            return _listed_once(path, status.st_size, status.st_mtime_ns)
    return _listed(path)


@lru_cache(maxsize=16)
def _listed_once(path: Path, size: int, changed_at: int) -> Listing:
    return _listed(path)


def _listed(path: Path) -> Listing:
    found = sorted(_found(path), key=lambda file: file.parts)
    while len({file.parts[0] for file in found}) == 1 and min(len(f.parts) for f in found) > 2:
        found = [file.below_top() for file in found]

    annotated = _annotated(path, found)
    if annotated is not None or {"train", "test"} <= {file.parts[0] for file in found}:
        train = _in_classes(path, [file.below_top() for file in found if file.parts[0] == "train"])
        test = annotated or _in_classes(
            path, [file.below_top() for file in found if file.parts[0] == "test"]
        )
    else:
        train, test = _in_classes(path, found), []
    classes = _checked_classes(path, train, test)
    return Listing(classes, _labelled(train, classes), _labelled(test, classes))


def changed(path: Path, listing: Listing) -> int:
    """Return the time of the last change of a folder or a zip file, in nanoseconds.

    Raises:
        UserError: It no longer exists.
    """
    if path.is_dir():
        return max(int(file.stamp.split(" ")[1]) for file in (*listing.train, *listing.test))
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def _found(path: Path) -> Iterator[_Found]:
    if path.is_dir():
        stamped = _in_folder(path)
    elif path.is_file():
        stamped = _in_zip(path)
    else:
        raise UserError(f"{path} does not exist: expected a folder or a zip file of class folders")
    for member, stamp in stamped:
        yield _Found(member, tuple(member.split("/")), stamp)


def _is_image(member: str) -> bool:
    *folders, name = member.split("/")
    ignored = name.startswith(".") or any(map(_is_ignored, folders))
    return not ignored and name.lower().endswith(EXTENSIONS)


def _is_ignored(folder: str) -> bool:
    return folder.startswith(".") or folder == "__MACOSX"


def _in_folder(path: Path) -> Iterator[tuple[str, str]]:
    """Walk a folder, through links to others; each folder may be met once."""

    def refuse(error: OSError) -> NoReturn:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}): its images would be missing; "
            "make it readable, or remove it"
        ) from error

    met: dict[tuple[int, int], Path] = {}
    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        inside = Path(folder).relative_to(path)
        identity = Path(folder).stat()
        earlier = met.setdefault((identity.st_dev, identity.st_ino), inside)
        if earlier != inside:
            raise UserError(_twice(path, earlier, inside))
        folders[:] = [name for name in folders if not _is_ignored(name)]
        for name in names:
            member = (inside / name).as_posix()
            if _is_image(member):
                yield member, _stamp(path, member)


def _twice(path: Path, earlier: Path, inside: Path) -> str:
    if earlier in inside.parents:
        around = "the whole folder" if earlier == Path() else f"{earlier}, which is around it"
        return f"{inside} in {path} is a link to {around}: a loop without end; remove the link"
    return (
        f"{earlier} and {inside} in {path} are the same folder, one of them by a link: its images "
        "would count twice; remove the link"
    )


def _stamp(path: Path, member: str) -> str:
    try:
        status = (path / member).stat()
    except OSError as error:
        raise UserError(
            f"{member} in {path} cannot be read ({error.strerror}): replace or remove it"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{member} in {path} is no file: remove it")
    if status.st_size > MOST_BYTES_OF_AN_IMAGE:
        raise UserError(_too_large(member, path))
    return f"{status.st_size} {status.st_mtime_ns}"


def _too_large(member: str, path: Path) -> str:
    most = MOST_BYTES_OF_AN_IMAGE // 2**20
    return f"{member} in {path} has over {most} MB: expected an image; replace or remove it"


def _in_zip(path: Path) -> Iterator[tuple[str, str]]:
    try:
        found = members(path)
    except UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read as a zip file ({error}): expected a folder or a zip file of "
            "class folders"
        ) from error
    for member in found:
        if _is_image(member.filename):
            if member.file_size > MOST_BYTES_OF_AN_IMAGE:
                raise UserError(_too_large(member.filename, path))
            yield member.filename, f"{member.file_size} {member.CRC}"


def _annotated(path: Path, found: list[_Found]) -> list[_Found] | None:
    """Return the images of Tiny ImageNet's ``val``, with classes; ``None`` in other layouts."""
    if not is_annotated([file.parts for file in found]):
        return None
    val = [file for file in found if file.parts[:2] == ("val", "images")]
    classes = classes_of_val(path, val[0].member.removesuffix(f"/images/{val[0].parts[-1]}"))
    if classes is None:
        return None
    for file in val:
        if not classes.get(file.parts[-1]):
            raise UserError(
                f"{file.member} in {path} has no class in val_annotations.txt: add a line for it, "
                "or remove it"
            )
    named = [(classes[file.parts[-1]], file) for file in val]
    # The class is in the stamp, so that another one changes the fingerprint.
    return [
        _Found(file.member, (name, file.parts[-1]), f"{file.stamp} {name}") for name, file in named
    ]


def _in_classes(path: Path, found: list[_Found]) -> list[_Found]:
    inside = [file for file in found if len(file.parts) > 1]
    if not inside:
        raise UserError(
            f"no images in class folders under {path}: expected CLASS/IMAGE, or train/CLASS/IMAGE "
            f"and test/CLASS/IMAGE, with images of the types {', '.join(EXTENSIONS)}"
        )
    return inside


def _checked_classes(path: Path, train: list[_Found], test: list[_Found]) -> tuple[str, ...]:
    in_train = Counter(file.parts[0] for file in train)
    in_test = Counter(file.parts[0] for file in test)
    if test and (apart := sorted(in_train.keys() ^ in_test.keys())):
        has, lacks = ("test", "train") if apart[0] in in_test else ("train", "test")
        raise UserError(
            f"class {apart[0]!r} of {path} has images in {has}/ and none in {lacks}/: both need "
            "the same class folders"
        )
    if len(in_train) < 2:
        raise UserError(
            f"{path} has only one class folder ({next(iter(in_train))!r}): expected at least two"
        )
    if not test and (alone := sorted(name for name, count in in_train.items() if count < 2)):
        raise UserError(
            f"class {alone[0]!r} of {path} has a single image: expected at least two, one to train "
            "on and one to test on"
        )
    return tuple(sorted(in_train))


def _labelled(found: list[_Found], classes: tuple[str, ...]) -> tuple[ImageFile, ...]:
    label = {name: index for index, name in enumerate(classes)}
    return tuple(ImageFile(file.member, label[file.parts[0]], file.stamp) for file in found)
