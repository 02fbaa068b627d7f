"""Where tables and progress are printed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from palimpsest.benchmark.cli.printing.output import claimed, printable

WIDTH_IN_FILES = 140
"""Columns of a file or a pipe, which have no width of their own."""


class _Console(Console):
    """A console that prints text, never a text's own commands to the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to print, with its control characters written out."""
        return super().render_str(printable(text), **options)


def table_console(width: int = WIDTH_IN_FILES) -> Console:
    """Return a console on standard output; ``width`` holds where that is no terminal."""
    console = _Console(file=claimed(), markup=False, highlight=False)
    if not console.is_terminal:
        console.width = width
    return console


def progress_console() -> Console:
    """Return a console on standard error."""
    return _Console(stderr=True)
