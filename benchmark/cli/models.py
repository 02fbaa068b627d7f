"""A model of options for each command: its docstring and its fields are the command's help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palimpsest.benchmark.cli.printing.output import claim_output
from palimpsest.benchmark.executors.options import RunOptions

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
Stores = Annotated[
    list[Path], typer.Argument(metavar="STORE...", help="Results databases or archives.")
]
StoresByName = Annotated[
    list[Path], typer.Option("--store", help="A results database or archive; may be repeated.")
]
OneStore = Annotated[Path, typer.Argument(metavar="STORE", help="The results database.")]


class FailOn(StrEnum):
    """What makes ``palimpsest compare`` exit with 1."""

    REGRESSION = "regression"
    UNDETERMINED = "undetermined"


class RowsOf(StrEnum):
    """What a row of ``palimpsest export`` is."""

    RUN = "run"
    MODEL = "model"
    MOMENT = "moment"


@dataclass(frozen=True, kw_only=True)
class SelectedRuns:
    """The runs of stores that a command reads."""

    suite: SuiteOption = None
    scenario: ScenarioOption = None
    strategies: StrategiesOption = None
    plugin: MetricPluginOption = None

    @property
    def selection(self) -> Selection:
        """The options as a ``Selection``."""
        return selection(self.suite, self.scenario, self.strategies)


@dataclass(frozen=True, kw_only=True)
class RunCommand(RunOptions):
    """Do the runs of suites that the store does not have yet."""

    suites: Annotated[
        list[str],
        typer.Argument(
            metavar="SUITE...", help="YAML files, shipped suites, or folders of either: paper."
        ),
    ]
    seeds: Annotated[
        str | None,
        typer.Option(help="How many seeds (5), or which (3,5,8), in place of the suite's."),
    ] = None
    strategies: Annotated[
        str | None, typer.Option(help="Only these strategies of each suite: a,b.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of each suite."),
    ] = None
    plugin: PluginOption = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the runs and estimate the time.")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False
    as_json: JsonOption = False
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,...", help="Parameters of sbatch: partition=gpu,time=60."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ReportCommand(SelectedRuns):
    """Turn stores into one self-contained HTML file, and its tables and figures into files.

    A run that is in several stores counts once. Where stores disagree about a run, its strategy is
    shown with the name of the store.
    """

    stores: Stores
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")] = Path(
        "report.html"
    )
    tables: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT,...", help="Also write tables as files: csv, parquet, latex."),
    ] = None
    figures: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT,...", help="Also write figures as files: svg, pdf, png."),
    ] = None
    files: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for these; default: NAME_files for NAME.html."),
    ] = None
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Chapters by a setting; default: by suite."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class WatchCommand(SelectedRuns):
    """Serve the report on this machine while a suite runs, with its running jobs and failures.

    Prints the address, which only this machine reaches and nobody can guess. The store is read and
    never changed. Ctrl-C ends the server; the suite goes on.
    """

    store: OneStore
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; default: a free one.")] = 0
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class PageCommand:
    """Write a page of Markdown whose numbers, tables and figures come from stores.

    Figures go into a folder beside the page, named after it. In the template, suite("NAME") gives
    the runs of a suite: {{ suite("NAME").value("SCENARIO", "wpl@1e4", "second") }}.
    """

    template: Annotated[Path, typer.Argument(help="Markdown with Jinja2, such as page.md.j2.")]
    stores: StoresByName
    output: Annotated[Path, typer.Option("--output", "--out", "-o", help="The Markdown file.")]
    plugin: MetricPluginOption = None


@dataclass(frozen=True, kw_only=True)
class ArchiveCommand:
    """Write all runs of stores as one Parquet file, for others to read.

    Every command that reads stores also reads archives. There is a row per run; the columns
    metric.NAME are its metrics as numbers, for pandas.
    """

    stores: StoresByName
    output: Annotated[Path, typer.Option("--output", "--out", "-o", help="The Parquet file.")]
    plugin: MetricPluginOption = None


@dataclass(frozen=True, kw_only=True)
class ExportCommand(SelectedRuns):
    """Write the runs of stores as a table of numbers, for other programs."""

    stores: Stores
    output: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="The file: .csv, .parquet or .json.")
    ]
    by: Annotated[
        RowsOf,
        typer.Option(help="What a row is: a run, a model, or a moment of training by turns."),
    ] = RowsOf.RUN


@dataclass(frozen=True, kw_only=True)
class MergeCommand:
    """Write the runs of stores and archives into a new store, each once.

    An archive alone becomes a store, into which more can be run.
    """

    new: Annotated[Path, typer.Argument(metavar="NEW", help="The results database to write.")]
    stores: Stores


@dataclass(frozen=True, kw_only=True)
class PruneCommand:
    """List finished runs that nothing asks for any more; --yes removes them.

    With suites: those of their runs that the files do not name now. Without: those that differ from
    later ones in nothing but older code, or older data of your own.
    """

    store: OneStore
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE...]", help="Suites, as for run; others are left alone."),
    ] = None
    seeds: Annotated[
        str | None, typer.Option(help="The seeds that the suites were run with, as for run.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Likewise their settings."),
    ] = None
    data_root: Annotated[Path | None, typer.Option(help="Where the data sets are, as for run.")] = (
        None
    )
    plugin: PluginOption = None
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else they are only told.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class DoctorCommand:
    """Check whether a store is damaged, and how much of it can be saved; exit with 1 if it is.

    The store itself is never written.
    """

    store: OneStore
    save: Annotated[
        Path | None, typer.Option(metavar="NEW", help="Save what can be read in a new store.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class CompareCommand(SelectedRuns):
    """Find the metrics that changed beyond noise, between two stores or two values of a setting."""

    store_a: Annotated[Path, typer.Argument(metavar="STORE_A", help="The results before.")]
    store_b: Annotated[
        Path | None,
        typer.Argument(metavar="STORE_B", help="The results after; or see --ignore."),
    ] = None
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit with 1 if a metric got worse beyond noise or a run now fails; "
            "undetermined: also if one differs that has too few seeds to judge."
        ),
    ] = None
    metrics: Annotated[str | None, typer.Option(help="Only these metrics: a,b.")] = None
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Pair runs that differ in these settings only: a,b. Of one store, compare the two "
            "values of one.",
        ),
    ] = None
    as_json: JsonOption = False


@dataclass(frozen=True, kw_only=True)
class CheckCommand:
    """Check the properties that every strategy must have; exit with 1 if one fails."""

    target: Annotated[
        str, typer.Argument(help="A plugin file, a strategy's name, or avalanche:CLASS.")
    ]
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the strategy."),
    ] = None
    plugin: PluginOption = None
    as_json: JsonOption = False


@dataclass(frozen=True, kw_only=True)
class CacheCommand:
    """Show the data that is kept between commands, such as decoded images; or remove it."""

    clear: Annotated[bool, typer.Option("--clear", help="Remove it; data sets stay.")] = False


@dataclass(frozen=True, kw_only=True)
class SpeedCommand:
    """Measure speed beside a hand-written loop and stock Avalanche."""

    repeats: Annotated[int, typer.Option(min=1, help="How many times everything is measured.")] = 3
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of the suite speed."),
    ] = None
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where MNIST is, as for run; without it, digits are used."),
    ] = None
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu"
    as_json: JsonOption = False


def load_plugins(plugins: list[Path] | None) -> None:
    """Load the files of ``--plugin``; their output goes to standard error."""
    claim_output()
    if plugins:
        from palimpsest.benchmark.plugins import load_files

        load_files(plugins)


def load_for_reading(plugins: list[Path] | None) -> None:
    """Load plugins, and the metrics of installed packages, for a command that reads runs."""
    from palimpsest.benchmark.plugins import load_metrics

    claim_output()
    load_metrics()
    load_plugins(plugins)


def names_of(text: str | None) -> list[str] | None:
    """Return the names in an option such as ``a,b``; ``None`` where it was not given."""
    return None if text is None else text.split(",")


def selection(suite: str | None, scenario: str | None, strategies: str | None) -> Selection:
    """Return the choice of ``--suite``, ``--scenario`` and ``--strategies``."""
    from palimpsest.benchmark.results.selection import Selection

    return Selection(names_of(suite), names_of(scenario), names_of(strategies))
