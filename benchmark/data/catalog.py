"""The data sets by name: whether they exist, what is known of them, and whether they are sound.

Importing this needs no torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from palimpsest.benchmark.data.cache import check_once
from palimpsest.benchmark.data.contents import ImageSource
from palimpsest.benchmark.data.formats.text_files import find_text
from palimpsest.benchmark.data.listing import list_images
from palimpsest.benchmark.data.paths import (
    FOLDER_PREFIX,
    PREFIXES,
    TEXT_PREFIX,
    path_of,
    prefix_of,
)
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.errors import UserError, nearest, quoted


def data_root(given: Path | None) -> Path:
    """Return the folder that holds the data sets.

    Args:
        given: What the user asked for on the command line, or None.

    Returns:
        ``given``, else ``$PALIMPSEST_DATA``, else the user's cache folder. It need not exist.
    """
    if given is not None:
        return given.expanduser()
    if from_environment := os.environ.get("PALIMPSEST_DATA"):
        return Path(from_environment).expanduser()
    return user_cache_path("palimpsest")


def check_name(name: str) -> str:
    """Refuse a name that is not that of a data set, without looking at the disk.

    Args:
        name: One of `SETS`, ``folder:PATH`` with the path of a folder or of a zip file, or
            ``text:PATH`` with that of a folder.

    Returns:
        Its prefix, see `PREFIXES`; an empty text for those of `SETS`.

    Raises:
        UserError: It is none of these.
    """
    prefix = prefix_of(name)
    if not prefix and name not in SETS:
        known = [*SETS, *(f"{each}PATH" for each in PREFIXES)]
        raise UserError(f"unknown data set {quoted(name)}: {nearest(name, known)}")
    return prefix


def canonical(name: str, root: Path) -> str:
    """Return one name for all ways to write the path of a data set, for keys.

    The path is relative to ``root``, or else to the working directory, where the data set is inside
    one of them. A name from `SETS` stays as it is.

    Raises:
        UserError: There is no such path.
    """
    prefix = prefix_of(name)
    if not prefix:
        return name
    found = Path(os.path.normpath(path_of(name, root)))
    for folder in (root.absolute(), Path.cwd()):
        if found.is_relative_to(folder) and found != folder:
            shorter = f"{prefix}{found.relative_to(folder).as_posix()}"
            if path_of(shorter, root) == found:
                return shorter
    return f"{prefix}{found}"


@dataclass(frozen=True)
class Outline:
    """The shape and classes of a data set, before it is loaded; a folder's shape is ``None``."""

    input_shape: tuple[int, int, int] | None
    n_classes: int


def outline(name: str, root: Path) -> Outline:
    """Return a data set's image shape and number of classes without loading it.

    Raises:
        UserError: If the name is wrong, or the folder is missing or has no images to learn from.
    """
    if check_name(name):
        return Outline(None, len(list_images(path_of(name, root)).classes))
    known = SETS[name]
    return Outline(known.input_shape, known.n_classes)


def require(name: str, root: Path) -> None:
    """Make sure that a data set is on disk, downloading it where that is possible.

    Raises:
        UserError: If the name is wrong, or the data cannot be found or downloaded; one sentence
            says where they were looked for and what to do.
    """
    if prefix := check_name(name):
        (list_images if prefix == FOLDER_PREFIX else find_text)(path_of(name, root))
        return
    known = SETS[name]
    if known.is_there(root):
        return

    from palimpsest.benchmark.data.formats import named

    try:
        named.download(name, root)
    except named.DOWNLOAD_ERRORS as error:
        lines = str(error).split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), repr(error))
        file = known.layouts[0][0]
        raise UserError(
            f"data set {name!r} is not under {root} and could not be downloaded ({reason}): give "
            f"the folder DIR that holds DIR/{file} with --data-root DIR or "
            "PALIMPSEST_DATA, or run once on a machine with a network"
        ) from error


def fingerprint(name: str, root: Path) -> str:
    """Return a short text that changes when the images of a data set change.

    No image is decoded. A folder is walked each time, and read the first time: call this once per
    data set, not per run.

    Returns:
        For `SETS`, which never change, the name. For ``text:PATH`` a hash of the names and contents
        of its files; for ``folder:PATH`` one of the names, sizes and CRCs of its images, the same
        for a folder and a zip file. The place of the files does not matter.

    Raises:
        UserError: If the name is wrong, or the folder is missing or has no images to learn from.
    """
    prefix = check_name(name)
    if not prefix:
        return name
    path = path_of(name, root)
    if prefix == TEXT_PREFIX:
        return prefix + find_text(path).fingerprint()
    return prefix + ImageSource.of(path).content()


def inspected(name: str, root: Path) -> str | None:
    """Read a data set once, before anything trains; again only when a file changes.

    Args:
        name: The data set, as `check_name` accepts it. A missing one of `SETS` is left to whoever
            downloads it: a dry run does not.
        root: The folder that holds the data sets.

    Returns:
        What a user should know before training: images that are there twice, or how a text is
        split. ``None``: nothing.

    Raises:
        UserError: The data are damaged or unusable.
    """
    if prefix := check_name(name):
        path = path_of(name, root)
        if prefix == FOLDER_PREFIX:
            from palimpsest.benchmark.data.copies import find_copies

            return find_copies(path).told(name)
        from palimpsest.benchmark.data.formats import text

        text.check(path)
        return find_text(path).told(name)

    def read() -> None:
        from palimpsest.benchmark.data.formats import named

        named.read(name, root)

    known = SETS[name]
    if files := [root / file for file in known.files(root)]:
        check_once(name, files, read)
    if known.is_there(root):
        return None
    return f"data set {name!r} is not under {root} and was not checked; run downloads it"
