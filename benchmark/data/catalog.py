"""The data sets by name: where they are and whether they exist, without importing torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from palimpsest.benchmark.data.contents import content_fingerprint
from palimpsest.benchmark.data.formats.text_files import TEXT_PREFIX, find_text, text_folder
from palimpsest.benchmark.data.listing import list_images
from palimpsest.benchmark.data.paths import existing_path
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.errors import UserError, nearest, quoted

FOLDER_PREFIX = "folder:"


PREFIXES = (FOLDER_PREFIX, TEXT_PREFIX)
"""Of data sets that are named by a path."""


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


def check_name(name: str) -> None:
    """Refuse a name that is not that of a data set, without looking at the disk.

    Args:
        name: One of `SETS`, ``folder:PATH`` with the path of a folder or of a zip file, or
            ``text:PATH`` with that of a folder.

    Raises:
        UserError: If ``name`` is neither.
    """
    if name.startswith(FOLDER_PREFIX):
        if not name.removeprefix(FOLDER_PREFIX).strip():
            raise UserError(
                f"data set {name!r} has no path: write folder:PATH with the path of a folder or of "
                "a zip file of class folders"
            )
    elif name.startswith(TEXT_PREFIX):
        if not name.removeprefix(TEXT_PREFIX).strip():
            raise UserError(f"data set {name!r} has no path: write text:PATH with that of a folder")
    elif name not in SETS:
        known = [*SETS, *(f"{prefix}PATH" for prefix in PREFIXES)]
        raise UserError(f"unknown data set {quoted(name)}: {nearest(name, known)}")


def folder_path(name: str, root: Path) -> Path:
    """Return the folder or zip file that ``folder:PATH`` stands for.

    Args:
        name: ``folder:PATH``, as `existing_path` reads it.
        root: The folder that holds the data sets.

    Returns:
        The path of something that exists.

    Raises:
        UserError: If there is none.
    """
    return existing_path(
        name, FOLDER_PREFIX, root, "a folder or a zip file", "a folder or of a zip file of class "
        "folders",
    )  # fmt: skip


def path_of(name: str, root: Path) -> Path:
    """Return the path of a data set that is named by one, see `PREFIXES`.

    Raises:
        UserError: There is none.
    """
    text = name.startswith(TEXT_PREFIX)
    return text_folder(name, root) if text else folder_path(name, root)


def canonical(name: str, root: Path) -> str:
    """Return one name for all ways to write the path of a data set, for keys.

    It is relative to ``root`` or else to the working directory, where the data set is inside of
    these.

    Args:
        name: As `check_name` accepts it; what has a name of its own keeps it.
        root: The folder that holds the data sets.

    Raises:
        UserError: There is no such path.
    """
    prefix = next((each for each in PREFIXES if name.startswith(each)), None)
    if prefix is None:
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
    """What is known about a data set before it is loaded.

    Attributes:
        input_shape: Channels, height and width; ``None`` where an image would have to be opened.
        n_classes: How many classes it has.
    """

    input_shape: tuple[int, int, int] | None
    n_classes: int


def outline(name: str, root: Path) -> Outline:
    """Return a data set's image shape and number of classes without loading it.

    Args:
        name: The data set of images, as `check_name` accepts it.
        root: The folder that holds the data sets.

    Raises:
        UserError: If the name is wrong, or the folder is missing or has no images to learn from.
    """
    check_name(name)
    if name.startswith(FOLDER_PREFIX):
        return Outline(None, len(list_images(folder_path(name, root)).classes))
    known = SETS[name]
    return Outline(known.input_shape, known.n_classes)


def require(name: str, root: Path) -> None:
    """Make sure that a data set is on disk, downloading it where that is possible.

    Args:
        name: The data set, as `check_name` accepts it.
        root: The folder that holds the data sets.

    Raises:
        UserError: If the name is wrong, or the data cannot be found or downloaded; one sentence
            says where they were looked for and what to do.
    """
    check_name(name)
    if name.startswith(FOLDER_PREFIX):
        list_images(folder_path(name, root))
        return
    if name.startswith(TEXT_PREFIX):
        find_text(text_folder(name, root))
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

    No image is decoded, but a folder is walked each time, and read the first time: call it once
    per data set, not per run.

    Args:
        name: The data set, as `check_name` accepts it.
        root: The folder that holds the data sets.

    Returns:
        The name itself, for the named sets, which never change. For ``text:PATH`` a hash of the
        names and contents of its files; for ``folder:PATH`` one of the names, sizes and CRCs of
        its images, whether in a folder or in a zip file. Where these are does not matter.

    Raises:
        UserError: If the name is wrong, or the folder is missing or has no images to learn from.
    """
    check_name(name)
    if name.startswith(TEXT_PREFIX):
        return TEXT_PREFIX + find_text(text_folder(name, root)).fingerprint()
    if not name.startswith(FOLDER_PREFIX):
        return name
    return FOLDER_PREFIX + content_fingerprint(folder_path(name, root))
