"""Numbers from a CSV file in the template's folder."""

from __future__ import annotations

import csv
import re
from collections import Counter
from io import TextIOWrapper
from pathlib import Path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.untrusted import opened

_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def read_rows(folder: Path, path: str) -> list[dict[str, str | int | float]]:
    """Return the rows of a CSV file in the template's folder, by the names in its first line.

    Cells that are numbers become ``int`` (``3``) or ``float`` (``0.5``, ``1e4``); others, and empty
    ones, stay text.

    Raises:
        UserError: The file cannot be read or is not UTF-8, its first line does not name every
            column once, or a row has too many or too few cells.
    """
    try:
        with TextIOWrapper(opened(folder / path), "utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            names = next(reader, [])
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, ValueError, csv.Error) as error:  # ValueError: also a path with a NUL
        reason = getattr(error, "strerror", None) or (
            "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        )
        raise UserError(f"{path}: cannot be read ({reason}); name a CSV file") from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or "" in names or twice:
        what = f"names {twice[0]!r} twice" if twice and twice[0] else "does not name every column"
        raise UserError(f"{path}: its first line {what}; give each column a name of its own")
    for line, cells in rows:
        if len(cells) != len(names):
            raise UserError(
                f"{path}, line {line}: {len(cells)} cells, but the first line names {len(names)} "
                "columns; write one cell per column"
            )
    return [dict(zip(names, map(_parsed, cells), strict=True)) for _, cells in rows]


_MOST_DIGITS = 300  # of a whole number; Python refuses to parse very long ones


def _parsed(cell: str) -> str | int | float:
    text = cell.strip()
    if _WHOLE.fullmatch(text) and len(text) <= _MOST_DIGITS:
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else cell
