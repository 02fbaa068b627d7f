"""The layout of Tiny ImageNet: a text file has the classes of its ``val`` images."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from palimpsest.benchmark.data.formats.zip_members import UNREADABLE
from palimpsest.benchmark.errors import UserError

ANNOTATIONS = "val_annotations.txt"
_MOST_BYTES = 2**24
"""The limit of the text; that of Tiny ImageNet has 0.4 MB."""


def is_annotated(parts: Sequence[tuple[str, ...]]) -> bool:
    """Whether images are laid out as in Tiny ImageNet."""
    tops = {part[0] for part in parts}
    inside = {part[1] for part in parts if part[0] == "val" and len(part) == 3}
    return {"train", "val"} <= tops and inside == {"images"}


def classes_of_val(path: Path, folder: str) -> dict[str, str] | None:
    """Return the class of each image in ``val/images``, by the name of its file.

    Args:
        path: A folder or a zip file.
        folder: The path of ``val`` inside it.

    Returns:
        ``None`` where there is no ``val_annotations.txt``.

    Raises:
        UserError: The file cannot be read, or a line of it has no class.
    """
    member = f"{folder}/{ANNOTATIONS}"
    text = _text(path, member)
    if text is None:
        return None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        image, _, rest = line.partition("\t")
        name = rest.partition("\t")[0].strip()
        if not name and line.strip():
            raise UserError(
                f"{member} in {path}, line {number}: expected the name of an image, a tab and its "
                "class, as in Tiny ImageNet; correct the line"
            )
        found[image] = name
    return found


def _text(path: Path, member: str) -> str | None:
    try:
        if path.is_dir():
            file = path / member
            if not file.is_file():
                return None
            with file.open("rb") as opened:
                content = opened.read(_MOST_BYTES)
        else:
            with zipfile.ZipFile(path) as archive:
                if member not in archive.namelist():
                    return None
                with archive.open(member) as packed:
                    content = packed.read(_MOST_BYTES)
        return content.decode("utf-8")
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{member} in {path} cannot be read ({reason}): expected the classes of the images in "
            "val/images, as in Tiny ImageNet; replace it"
        ) from error
