"""The figures of a page: numbered in order, and written to files in a folder of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.svg import small_svg

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Album:
    """The figures of a page, collected as it is written; ``folder`` is relative to the page."""

    def __init__(self, folder: PurePosixPath) -> None:
        self._folder = folder
        self._plots: dict[str, Plot] = {}

    def add(self, name: str, plot: Plot, caption: str) -> str:
        """Add a figure and return the Markdown that shows it, with its number.

        Its own caption, how to read it, follows ``caption``.

        Raises:
            UserError: The name is taken, or is not valid as a file name.
        """
        if not _NAME.fullmatch(name):
            raise UserError(
                f"figure name {name!r}: it becomes a file name; write lower-case letters, "
                "digits and single hyphens, such as 'first-steps'"
            )
        if name in self._plots:
            raise UserError(
                f"figure name {name!r} is taken by an earlier figure of the page; choose another"
            )
        plot = replace(plot, name=name, caption=f"{caption.strip()} {plot.caption}".strip())
        self._plots[name] = plot
        alternative = plot.description.replace("[", "(").replace("]", ")")
        image = f"![{alternative}]({self._folder / name}.svg)"
        return f"{image}\n\n**Figure {len(self._plots)}.** {plot.caption}"

    @property
    def plots(self) -> Sequence[Plot]:
        """The figures, in the order of the page."""
        return list(self._plots.values())

    def files(self) -> dict[str, bytes]:
        """Draw every figure; the same figures give the same bytes."""
        return {f"{plot.name}.svg": small_svg(plot) for plot in self._plots.values()}
