"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palimpsest.benchmark.cli.printing.output import claim_output

if TYPE_CHECKING:
    from palimpsest.benchmark.results.selection import Selection

StoreOption = Annotated[Path, typer.Option("--store", help="The results database.")]
DEFAULT_STORE = Path("palimpsest.db")
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
SuiteOption = Annotated[
    str | None, typer.Option("--suite", metavar="NAMES", help="Only the runs of these suites: a,b.")
]
ScenarioOption = Annotated[
    str | None, typer.Option("--scenario", metavar="NAMES", help="Only these scenarios: a,b.")
]
StrategiesOption = Annotated[
    str | None, typer.Option("--strategies", metavar="NAMES", help="Only these strategies: a,b.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_plugins(plugins: list[Path] | None) -> None:
    """Load the files of ``--plugin``, if there are any; what they print is no output of ours."""
    claim_output()
    if plugins:
        from palimpsest.benchmark.plugins import load_files

        load_files(plugins)


def load_for_reading(plugins: list[Path] | None) -> None:
    """Load plugins for a command that reads runs: also the metrics of installed packages."""
    from palimpsest.benchmark.plugins import load_metrics

    claim_output()
    load_metrics()
    load_plugins(plugins)


def names_of(text: str | None) -> list[str] | None:
    """Return the names of an option that takes several; ``None`` where it was not given."""
    return None if text is None else text.split(",")


def selection(suite: str | None, scenario: str | None, strategies: str | None) -> Selection:
    """Return which runs the user chose by ``--suite``, ``--scenario`` and ``--strategies``."""
    from palimpsest.benchmark.results.selection import Selection

    return Selection(names_of(suite), names_of(scenario), names_of(strategies))
