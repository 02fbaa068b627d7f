"""The names of SQLite's own files, which no other file may have."""

from __future__ import annotations

import os
from pathlib import Path

BESIDE = ("-wal", "-shm", "-journal")
"""SQLite appends these to a database's name. It deletes such files."""


def database_beside(path: Path) -> str | None:
    """Return the name of the database whose helper file a path would be; ``None`` if of none.

    Such a name is reserved, even while SQLite does not use it. A link counts by its own name and by
    that of its target.
    """
    for place in (path, Path(os.path.realpath(path))):
        for suffix in BESIDE:
            base = place.name[: -len(suffix)]
            if base and place.name.lower().endswith(suffix) and place.with_name(base).exists():
                return base
    return None
