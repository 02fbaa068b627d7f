"""The data sets that have a name: each file of this folder lists its own in ``SETS``.

To add one, write such a file; it is found here. Importing these needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from palimpsest.benchmark.data.named_set import NamedSet

SETS: dict[str, NamedSet] = {
    each.name: each
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem != "__init__"
    for each in import_module(f"{__name__}.{path.stem}").SETS
}
"""All of them by name."""
