"""What happened inside a run: one file per probe, named by a suite's ``probes``.

A probe inspects the bank during a run and changes nothing in it. To add one, write a
``Probe`` (see ``probe.py``) in a file with its name, and list it here. Importing this list
needs no torch; ``load`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from palimpsest.benchmark.errors import UserError, nearest, quoted


@dataclass(frozen=True)
class ProbeEntry:
    """One probe that a suite can ask for.

    Attributes:
        name: Its name in suites, and of its file in this folder.
        class_name: Its class in that file.
        summary: One line for listings.
        of_blocks: It looks at models made of blocks, not into whole networks.
    """

    name: str
    class_name: str
    summary: str
    of_blocks: bool = True

    def load(self) -> type[Any]:
        """Import and return the probe's class."""
        found: type[Any] = getattr(import_module(f"{__name__}.{self.name}"), self.class_name)
        return found


_ENTRIES = (
    ProbeEntry(
        "distance", "Distance", "how far the shared parameters move, and from their anchors"
    ),
    ProbeEntry(
        "importance",
        "Importance",
        "how importances are distributed, and how they rank beside the Fisher information",
    ),
    ProbeEntry("overlap", "Overlap", "whether models need the same rows of shared layers"),
    ProbeEntry(
        "similarity",
        "Similarity",
        "linear CKA of shared blocks' outputs, right after training and later",
    ),
    ProbeEntry(
        "refit", "Refit", "accuracy with the private parts refitted to the final shared blocks"
    ),
    ProbeEntry("unmerged", "Unmerged", "accuracy of each model before it is merged with others"),
    ProbeEntry(
        "uncertainty",
        "Uncertainty",
        "likelihood and calibration of every model, right after training and at the end",
        of_blocks=False,
    ),
)

PROBES = {entry.name: entry for entry in _ENTRIES}


def in_order(
    names: Sequence[str], error: Callable[[tuple[str | int, ...], str], UserError]
) -> tuple[str, ...]:
    """Return the probes that a suite names, each once and in the order of ``PROBES``.

    Args:
        names: Of probes.
        error: Makes an error with the line of the suite.

    Raises:
        UserError: With the line of an unknown name, and the nearest known one.
    """
    for place, name in enumerate(names):
        if name not in PROBES:
            hint = nearest(name, PROBES)
            raise error(("probes", place), f"unknown probe {quoted(name)}; {hint}")
    return tuple(name for name in PROBES if name in names)
