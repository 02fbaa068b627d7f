"""The commands and their options; their implementations are imported when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palimpsest.benchmark.cli.inner_commands import list_app, new_app, show_app
from palimpsest.benchmark.cli.options import (
    DEFAULT_STORE,
    FailOn,
    JsonOption,
    MetricPluginOption,
    PluginOption,
    RowsOf,
    ScenarioOption,
    StoreOption,
    StrategiesOption,
    SuiteOption,
    load_for_reading,
    load_plugins,
    names_of,
    selection,
)

app = typer.Typer(
    name="palimpsest",
    help="Compare methods against forgetting in networks whose models share parameters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(list_app, name="list")
app.add_typer(show_app, name="show")
app.add_typer(new_app, name="new")


def _version(value: bool) -> None:
    if value:
        import palimpsest

        typer.echo(f"palimpsest {palimpsest.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    suites: Annotated[
        list[str],
        typer.Argument(
            metavar="SUITE...", help="YAML files, shipped suites, or folders of either: paper."
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    seeds: Annotated[
        str | None,
        typer.Option(help="How many seeds (5), or which (3,5,8), in place of the suite's."),
    ] = None,
    strategies: Annotated[
        str | None, typer.Option(help="Only these strategies of each suite: a,b.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of each suite."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one per processor.")
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long to hold runs that the store does not take, before they are written into "
            "STORE.rescued; default: 60.",
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where the data sets are; default: $PALIMPSEST_DATA, else the cache."),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where runs share files while they last; default: /tmp."),
    ] = None,
    run_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="End a run after this time; it counts as failed."),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a run is tried again whose process has died.")
    ] = 1,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            min=1,
            help="Save a run after each model and this often, to go on from there after a kill; by "
            "default after a model, once a minute at most.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    plugin: PluginOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the runs and estimate the time.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    as_json: JsonOption = False,
    executor: Annotated[
        str, typer.Option(metavar="NAME", help="local, or a cluster: ray, slurm.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, HOST:PORT; default: auto.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,...", help="Parameters of sbatch: partition=gpu,time=60."),
    ] = None,
) -> None:
    """Carry out the runs of suites that the store does not have yet."""
    from palimpsest.benchmark.cli.commands.run import RunOptions, run_suites

    load_for_reading(plugin)
    options = RunOptions(
        suites=suites,
        store=store,
        seeds=seeds,
        strategies=names_of(strategies),
        settings=settings or [],
        workers=workers,
        hold=hold,
        data_root=data_root,
        scratch=scratch,
        run_timeout=run_timeout,
        retries=retries,
        checkpoint_every=checkpoint_every,
        device=device,
        dry_run=dry_run,
        quiet=quiet,
        as_json=as_json,
        executor=executor,
        address=address,
        slurm=slurm or [],
    )
    raise typer.Exit(run_suites(options))


@app.command()
def report(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Results databases or archives.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")] = Path(
        "report.html"
    ),
    tables: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT,...", help="Also write tables as files: csv, parquet, latex."),
    ] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT,...", help="Also write figures as files: svg, pdf, png."),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for these; default: NAME_files for NAME.html."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Chapters by a setting; default: by suite."),
    ] = None,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    strategies: StrategiesOption = None,
    plugin: MetricPluginOption = None,
) -> None:
    """Turn stores into one self-contained HTML file, and its tables and figures into files.

    A run that is in several stores counts once. Where stores disagree about a run, its strategy is
    shown with the name of the store.
    """
    from palimpsest.benchmark.cli.commands.report import ReportOptions, make_report

    load_for_reading(plugin)
    chosen = selection(suite, scenario, strategies)
    make_report(ReportOptions(stores, output, tables or [], figures or [], files, by, chosen))


@app.command()
def watch(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The results database.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; default: a free one.")] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    strategies: StrategiesOption = None,
    plugin: MetricPluginOption = None,
) -> None:
    """Serve the report on this machine while a suite runs: what is under way, and what failed.

    Prints the address, which only this machine reaches and nobody can guess. The store is read and
    never changed. Ctrl-C ends it; the suite goes on.
    """
    from palimpsest.benchmark.cli.commands.watch import WatchOptions, watch

    load_for_reading(plugin)
    chosen = selection(suite, scenario, strategies)
    watch(WatchOptions(store, port, open_browser, plugin or [], chosen))


@app.command()
def page(
    template: Annotated[Path, typer.Argument(help="Markdown with Jinja2, such as page.md.j2.")],
    stores: Annotated[
        list[Path],
        typer.Option("--store", help="A results database or archive; may be repeated."),
    ],
    output: Annotated[Path, typer.Option("--output", "--out", "-o", help="The Markdown file.")],
    plugin: MetricPluginOption = None,
) -> None:
    """Write a page of Markdown whose numbers, tables and figures come from stores.

    Figures go into a folder beside the page, named after it. In the template, suite("NAME") gives
    the runs of a suite: {{ suite("NAME").value("SCENARIO", "wpl@1e4", "second") }}.
    """
    from palimpsest.benchmark.cli.commands.page import PageOptions, make_page

    load_for_reading(plugin)
    make_page(PageOptions(template, stores, output))


@app.command()
def archive(
    stores: Annotated[
        list[Path],
        typer.Option("--store", help="A results database or archive; may be repeated."),
    ],
    output: Annotated[Path, typer.Option("--output", "--out", "-o", help="The Parquet file.")],
    plugin: MetricPluginOption = None,
) -> None:
    """Write all runs of stores as one Parquet file, for others to read.

    Every command that reads stores also reads archives. There is a row per run; the columns
    metric.NAME are its metrics as numbers, for pandas.
    """
    from palimpsest.benchmark.cli.commands.archive import ArchiveOptions, make_archive

    load_for_reading(plugin)
    make_archive(ArchiveOptions(stores, output))


@app.command()
def export(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Results databases or archives.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "--out", "-o", help="The file: .csv, .parquet or .json."),
    ],
    by: Annotated[
        RowsOf,
        typer.Option(help="What a row is: a run, a model, or a moment of training by turns."),
    ] = RowsOf.RUN,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    strategies: StrategiesOption = None,
    plugin: MetricPluginOption = None,
) -> None:
    """Write the runs of stores as a table of numbers, for other programs."""
    from palimpsest.benchmark.cli.commands.export import ExportOptions, export

    load_for_reading(plugin)
    export(ExportOptions(stores, output, by.value, selection(suite, scenario, strategies)))


@app.command()
def merge(
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The results database to write.")],
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Results databases or archives.")
    ],
) -> None:
    """Write the runs of stores and archives into a new store, each once.

    An archive alone becomes a store, into which more can be run.
    """
    from palimpsest.benchmark.cli.commands.merge import merge_stores

    load_for_reading(None)
    merge_stores(new, stores)


@app.command()
def prune(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The results database.")],
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE...]", help="Suites, as for run; others are left alone."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="The seeds that the suites were run with, as for run.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Likewise their settings."),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Where the data sets are, as for run.")
    ] = None,
    plugin: PluginOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them; else they are only told.")
    ] = False,
) -> None:
    """Remove finished runs that nothing asks for any more: only told, unless --yes is given.

    With suites: those of their runs that the files do not name now. Without: those that only
    earlier code, or earlier data of one's own, tells apart from later ones.
    """
    from palimpsest.benchmark.cli.commands.prune import PruneOptions, prune

    load_for_reading(plugin)
    prune(PruneOptions(store, suites or [], seeds, settings or [], data_root, yes))


@app.command()
def doctor(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The results database.")],
    save: Annotated[
        Path | None, typer.Option(metavar="NEW", help="Save what can be read in a new store.")
    ] = None,
) -> None:
    """Say whether a store is damaged, and what of it can be saved; exit with 1 if it is.

    The store itself is never written.
    """
    from palimpsest.benchmark.cli.commands.doctor import doctor

    raise typer.Exit(doctor(store, save))


@app.command()
def compare(
    store_a: Annotated[Path, typer.Argument(metavar="STORE_A", help="The results before.")],
    store_b: Annotated[
        Path | None,
        typer.Argument(metavar="STORE_B", help="The results after; or see --ignore."),
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit with 1 if a metric got worse beyond noise or a run now fails; "
            "undetermined: also if one differs that has too few seeds to judge."
        ),
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="Only these metrics: a,b.")] = None,
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Pair runs that differ in these settings only: a,b. Of one store, compare the two "
            "values of one.",
        ),
    ] = None,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    strategies: StrategiesOption = None,
    plugin: MetricPluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which metrics changed between two stores, or two values of a setting, beyond noise."""
    from palimpsest.benchmark.cli.commands.compare import CompareOptions, compare

    load_for_reading(plugin)
    ignored, chosen = names_of(ignore) or [], selection(suite, scenario, strategies)
    code = compare(CompareOptions(store_a, store_b, metrics, fail_on, as_json, ignored, chosen))
    raise typer.Exit(code)


@app.command()
def check(
    target: Annotated[
        str,
        typer.Argument(help="A plugin file, a strategy's name, or avalanche:CLASS."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the strategy."),
    ] = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the properties that every strategy must have; exit with 1 if one fails."""
    from palimpsest.benchmark.cli.commands.check import check_strategies

    load_plugins(plugin)
    raise typer.Exit(check_strategies(target, settings or [], as_json))


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove it; data sets stay.")] = False,
) -> None:
    """Show what is kept of data between commands, such as decoded images; or remove it."""
    from palimpsest.benchmark.cli.commands.cache import show_cache

    show_cache(clear)


@app.command()
def speed(
    repeats: Annotated[int, typer.Option(min=1, help="How many times everything is measured.")] = 3,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of the suite speed."),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where MNIST is, as for run; without it, digits are used."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure speed beside a hand-written loop and stock Avalanche."""
    from palimpsest.benchmark.cli.commands.speed import SpeedOptions, measure_speed

    measure_speed(SpeedOptions(repeats, settings or [], data_root, device, as_json))
