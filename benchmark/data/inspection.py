"""Whether data can be trained on: all are read once, before anything trains, until they change."""

from __future__ import annotations

from pathlib import Path

from palimpsest.benchmark.data.cache import check_once
from palimpsest.benchmark.data.catalog import FOLDER_PREFIX, folder_path
from palimpsest.benchmark.data.formats.text_files import TEXT_PREFIX, find_text, text_folder
from palimpsest.benchmark.data.sets import SETS


def inspected(name: str, root: Path) -> str | None:
    """Read a data set, unless this user's cache says that an earlier command has.

    Args:
        name: The data set, as `check_name` accepts it. One that is not there, and has a name of its
            own, is left to whoever downloads it; a dry run does not.
        root: The folder that holds the data sets.

    Returns:
        What a user should know before training: images that are there twice, or how a text is
        split. ``None``: nothing. The sets with a name were looked at for good.

    Raises:
        UserError: The data are damaged or unusable.
    """
    if name.startswith(FOLDER_PREFIX):
        from palimpsest.benchmark.data.copies import find_copies

        return find_copies(folder_path(name, root)).told(name)
    if name.startswith(TEXT_PREFIX):
        from palimpsest.benchmark.data.formats import text

        folder = text_folder(name, root)
        text.check(folder)
        return find_text(folder).told(name)
    known = SETS[name]
    files = [root / file for file in known.files(root)]
    if files:
        check_once(name, files, lambda: _read(name, root))
    if known.is_there(root):
        return None
    return f"data set {name!r} is not under {root} and was not checked; run downloads it"


def _read(name: str, root: Path) -> None:
    from palimpsest.benchmark.data.formats import named

    named.read(name, root)
