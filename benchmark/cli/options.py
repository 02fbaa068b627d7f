"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.output import claim_output

StoreOption = Annotated[Path, typer.Option("--store", help="The results database.")]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="Adds strategies, scenarios, networks and metrics; may be repeated.",
    ),
]
MetricPluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Adds metrics; may be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_STORE = Path("palimpsest.db")


def load_plugins(plugins: list[Path] | None) -> None:
    """Load the files of ``--plugin``, if there are any; what they print is no output of ours."""
    claim_output()
    if plugins:
        from benchmark.plugins import load_files

        load_files(plugins)


def load_for_reading(plugins: list[Path] | None) -> None:
    """Load plugins for a command that reads runs: also the metrics of installed packages."""
    from benchmark.plugins import load_metrics

    claim_output()
    load_metrics()
    load_plugins(plugins)
