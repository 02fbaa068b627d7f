"""Probes measure what happens inside a run: one file a probe, which a suite names by its file.

A probe looks into the bank during a run and changes nothing in it. To add one, write a subclass of
``Probe`` (``base/probe.py``) into a file of this folder. It is found here. Its name and the first
line of its file are read without torch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from palimpsest.benchmark.errors import UserError, nearest, quoted
from palimpsest.strategies.base.catalogue import classes_in

_FOLDER = Path(__file__).parent

PROBES = tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__"))
"""The names of all probes."""


def summary_of(name: str) -> str:
    """Return what a probe measures, in one line."""
    text = ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text("utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")


def load(name: str) -> type[Any]:
    """Import and return the class that a probe's file defines."""
    from palimpsest.benchmark.probes.base.probe import Probe

    module = import_module(f"{__name__}.{name}")
    found = [each for each in classes_in(module) if issubclass(each, Probe)]
    if len(found) != 1:
        raise TypeError(f"{module.__file__} defines {len(found)} subclasses of Probe, not one")
    return found[0]


def checked(
    names: Sequence[str], error: Callable[[tuple[str | int, ...], str], UserError]
) -> tuple[str, ...]:
    """Return the probes that a suite names, each once, in the order of ``PROBES``.

    Raises:
        UserError: With the line of an unknown name, and the nearest known one.
    """
    for place, name in enumerate(names):
        if name not in PROBES:
            hint = nearest(name, PROBES)
            raise error(("probes", place), f"unknown probe {quoted(name)}; {hint}")
    return tuple(name for name in PROBES if name in names)
