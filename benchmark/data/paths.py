"""Data sets that are named by a path: ``folder:PATH`` and ``text:PATH``."""

from __future__ import annotations

from pathlib import Path

from palimpsest.benchmark.errors import UserError, quoted

FOLDER_PREFIX, TEXT_PREFIX = "folder:", "text:"

PREFIXES = (FOLDER_PREFIX, TEXT_PREFIX)

EXPECTED_TEXT = (
    "a folder with train.txt, valid.txt and test.txt (or ptb.train.txt and so on, or "
    "wiki.train.tokens and so on)"
)

_EXPECTED = {
    FOLDER_PREFIX: ("a folder or a zip file", "a folder or of a zip file of class folders"),
    TEXT_PREFIX: ("a folder", EXPECTED_TEXT),
}
"""For messages: the thing that is looked for, and the long form of it."""


def prefix_of(name: str) -> str:
    """Return the prefix of a data set that is named by a path; otherwise an empty text.

    Raises:
        UserError: There is no path after the prefix.
    """
    prefix = next((each for each in PREFIXES if name.startswith(each)), "")
    if prefix and not name.removeprefix(prefix).strip():
        raise UserError(
            f"data set {name!r} has no path: write {prefix}PATH with the path of "
            f"{_EXPECTED[prefix][1]}"
        )
    return prefix


def path_of(name: str, root: Path) -> Path:
    """Return the existing path of a data set that is named by one.

    Args:
        name: With a prefix. A relative path is looked for in the working directory, then under
            ``root``, so that a suite file can name a folder without saying where it is.
        root: The folder that holds the data sets.

    Raises:
        UserError: Neither place has it.
    """
    prefix = prefix_of(name)
    expected, of = _EXPECTED[prefix]
    try:
        if "\0" in name:
            raise ValueError("it has a NUL in it")
        given = Path(name.removeprefix(prefix)).expanduser()
        candidates = (given.absolute(), (root / given).absolute())
        for candidate in candidates:
            if candidate.exists():
                return candidate
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, the home of nobody
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UserError(
            f"data set {quoted(name)} is no usable path ({reason}): write {prefix}PATH with the "
            f"path of {of}"
        ) from None
    places = " or ".join(dict.fromkeys(map(str, candidates)))
    raise UserError(
        f"data set {quoted(name)} was not found: looked for {expected} at {places}; "
        "correct the path, or give the folder that holds it with --data-root DIR or PALIMPSEST_DATA"
    )
