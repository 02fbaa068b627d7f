"""Sends data sets in parts to machines that do not have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from palimpsest.benchmark.data.catalog import fingerprint
from palimpsest.benchmark.data.paths import PREFIXES, path_of
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.errors import UserError

Part = list[tuple[str, int, int, bytes]]
"""Pieces of files: path below the root, modification time in ns, where it begins, content."""

_BYTES = 32 << 20
"""The approximate size of a part."""


def has_data(name: str, expected: str, root: Path) -> bool:
    """Return whether a data set is on this machine, with the expected fingerprint.

    Args:
        name: The data set.
        expected: The fingerprint on the machine that planned the suite.
        root: The folder that holds the data sets.
    """
    try:
        there = name.startswith(PREFIXES) or SETS[name].is_there(root)
        return there and fingerprint(name, root) == expected
    except UserError:
        return False


def parts_of(name: str, root: Path) -> Iterator[Part]:
    """Yield a data set in parts, for ``write_part`` on another machine.

    Args:
        name: The data set, which is on this machine.
        root: The folder that holds the data sets.

    Raises:
        UserError: It has an absolute path, which other machines do not know, or cannot be read.
    """
    part: Part = []
    size = 0
    for inside, path in _files(name, root):
        try:
            with path.open("rb") as file:
                stamp, start = os.fstat(file.fileno()).st_mtime_ns, 0
                while (content := file.read(_BYTES)) or not start:
                    part.append((inside, stamp, start, content))
                    start += len(content)
                    size += len(content)
                    if size >= _BYTES:
                        yield part
                        part, size = [], 0
                    if not content:
                        break
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if part:
        yield part


def write_parts(parts: Iterable[Part], root: Path) -> None:
    """Write the parts of ``parts_of``.

    Raises:
        OSError: They cannot be written (a full disk).
    """
    stamps: dict[Path, int] = {}
    for part in parts:
        for inside, stamp, start, content in part:
            path = root / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if start else "wb") as file:
                file.seek(start)
                file.write(content)
            stamps[path] = stamp
    for path, stamp in stamps.items():
        os.utime(path, ns=(stamp, stamp))


def _files(name: str, root: Path) -> Iterator[tuple[str, Path]]:
    if not name.startswith(PREFIXES):
        yield from ((file, root / file) for file in SETS[name].files(root))
        return
    given = Path(name.partition(":")[2])
    if given.expanduser().is_absolute() or ".." in given.parts:
        raise UserError(
            f"data set {name!r}: not every node of the cluster has it; copy it to the same path "
            "everywhere, or name it by its path below the data folder, so that it can be sent"
        )
    there = path_of(name, root)
    if there.is_file():
        yield str(given), there
        return
    for path in sorted(there.rglob("*")):
        if path.is_file():
            yield str(given / path.relative_to(there)), path
