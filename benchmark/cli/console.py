"""Where tables are printed."""

from rich.console import Console

WIDTH_IN_FILES = 140
"""Columns of a file or a pipe, which have no width of their own."""


def table_console(width: int = WIDTH_IN_FILES) -> Console:
    """Return a console on the standard output.

    Args:
        width: Columns where it is not a terminal; a terminal has its own width.
    """
    console = Console()
    if not console.is_terminal:
        console.width = width
    return console
