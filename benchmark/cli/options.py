"""Options that several commands have."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[Path, typer.Option("--store", help="The results database.")]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="Adds strategies, scenarios and metrics; may be repeated.",
    ),
]
MetricPluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Adds metrics; may be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_STORE = Path("palimpsest.db")


def load_plugins(plugins: list[Path] | None) -> None:
    """Load the files of ``--plugin``, if there are any; what they print goes to standard error."""
    if plugins:
        from benchmark.plugins import load_files

        with redirect_stdout(sys.stderr):
            load_files(plugins)


def load_for_reading(plugins: list[Path] | None) -> None:
    """Load plugins for a command that reads runs: also the metrics of installed packages."""
    from benchmark.plugins import load_metrics

    load_metrics()
    load_plugins(plugins)
