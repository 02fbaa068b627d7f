"""Data sets that are named by a path."""

from __future__ import annotations

from pathlib import Path

from palimpsest.benchmark.errors import UserError, quoted


def existing_path(name: str, prefix: str, root: Path, expected: str, of: str) -> Path:
    """Return the path that a data set's name has after a prefix.

    Args:
        name: ``PREFIXPATH``. A relative path is looked for in the working directory, then under
            ``root``, so that a suite file can name a folder without saying where it is.
        prefix: Such as ``folder:``.
        root: The folder that holds the data sets.
        expected: What is looked for there, for the message.
        of: The path of what it is, for the message.

    Returns:
        The path of something that exists.

    Raises:
        UserError: If neither place has it.
    """
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
