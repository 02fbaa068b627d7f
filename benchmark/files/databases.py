"""Names that SQLite uses beside a database, which no other file may have."""

from __future__ import annotations

import os
from pathlib import Path

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for its own files, which it deletes."""


def database_beside(path: Path) -> str | None:
    """Return the name of the database that a path would be a helper file of, by its name.

    Such a name is reserved, even while SQLite does not use it.

    Args:
        path: The path; what it links to counts, too.
    """
    for place in (path, Path(os.path.realpath(path))):
        for suffix in BESIDE:
            base = place.name[: -len(suffix)]
            if base and place.name.lower().endswith(suffix) and place.with_name(base).exists():
                return base
    return None
