"""A data set with a name; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class NamedSet:
    """A data set of images.

    Attributes:
        name: What suites call it.
        input_shape: Channels, height and width of an image.
        n_classes: How many classes it has.
        reader: ``module:class`` of what reads it as torchvision does: ``class(root, train=...,
            download=...)`` has ``data``, ``targets`` and ``classes``.
        arguments: More arguments of that class.
        layouts: Its files relative to the root, in each of the layouts that the class accepts;
            none where the data come with a package.
    """

    name: str
    input_shape: tuple[int, int, int]
    n_classes: int
    reader: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    layouts: tuple[tuple[str, ...], ...] = ()

    @property
    def reader_class(self) -> Any:
        """The class that reads it."""
        module, _, name = self.reader.partition(":")
        return getattr(import_module(module), name)

    def files(self, root: Path) -> tuple[str, ...]:
        """Return its files below a root folder, relative to it; none if some are missing."""
        there = (files for files in self.layouts if all((root / file).is_file() for file in files))
        return next(there, ())

    def is_there(self, root: Path) -> bool:
        """Whether it can be read from a root folder, without a network."""
        return not self.layouts or bool(self.files(root))
