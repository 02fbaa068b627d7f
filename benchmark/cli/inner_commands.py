"""The commands inside ``palimpsest list``, ``show`` and ``new``."""

from __future__ import annotations

from typing import Annotated

import typer

from palimpsest.benchmark.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    MetricPluginOption,
    PluginOption,
    ScenarioOption,
    StoreOption,
    StrategiesOption,
    SuiteOption,
    load_for_reading,
    load_plugins,
    selection,
)

list_app = typer.Typer(help="List what is available.", no_args_is_help=True)
show_app = typer.Typer(help="Show one thing in full.", no_args_is_help=True)
new_app = typer.Typer(help="Write files to start from.", no_args_is_help=True)


@new_app.command("strategy")
def new_strategy(
    name: str,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="STRATEGY",
            help="Begin with a copy of this strategy; default: a penalty, with explanations.",
        ),
    ] = None,
) -> None:
    """A strategy of your own that works at once, its test and a suite, in this folder."""
    from palimpsest.benchmark.cli.commands.new import new_strategy

    new_strategy(name, like)


@list_app.command("strategies")
def list_strategies(plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """The strategies that a suite can name."""
    from palimpsest.benchmark.cli.printing.listings import strategies

    load_plugins(plugin)
    strategies(as_json)


@list_app.command("scenarios")
def list_scenarios(plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """The scenario families that a suite can name."""
    from palimpsest.benchmark.cli.printing.listings import scenarios

    load_plugins(plugin)
    scenarios(as_json)


@list_app.command("networks")
def list_networks(plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """Networks that a scenario can name."""
    from palimpsest.benchmark.cli.printing.listings import networks

    load_plugins(plugin)
    networks(as_json)


@list_app.command("supernets")
def list_supernets(as_json: JsonOption = False) -> None:
    """Supernets that an architecture search can name."""
    from palimpsest.benchmark.cli.printing.listings import supernets

    supernets(as_json)


@list_app.command("probes")
def list_probes(as_json: JsonOption = False) -> None:
    """The probes that a suite can ask for: what they record of the inside of runs."""
    from palimpsest.benchmark.cli.printing.listings import probes

    probes(as_json)


@list_app.command("metrics")
def list_metrics(plugin: MetricPluginOption = None, as_json: JsonOption = False) -> None:
    """The metrics that are computed for every run."""
    from palimpsest.benchmark.cli.printing.listings import metrics

    load_for_reading(plugin)
    metrics(as_json)


@list_app.command("suites")
def list_suites(as_json: JsonOption = False) -> None:
    """The suites that come with Palimpsest."""
    from palimpsest.benchmark.cli.printing.listings import suites

    suites(as_json)


@list_app.command("runs")
def list_runs(
    store: StoreOption = DEFAULT_STORE,
    suite: SuiteOption = None,
    scenario: ScenarioOption = None,
    strategies: StrategiesOption = None,
    plugin: MetricPluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """The runs in a store."""
    from palimpsest.benchmark.cli.printing.run_listing import runs

    load_for_reading(plugin)
    runs(store, selection(suite, scenario, strategies), as_json)


@show_app.command("strategy")
def show_strategy(name: str, plugin: PluginOption = None) -> None:
    """A strategy's purpose, source and settings."""
    from palimpsest.benchmark.cli.printing.listings import strategy

    load_plugins(plugin)
    strategy(name)


@show_app.command("scenario")
def show_scenario(name: str, plugin: PluginOption = None) -> None:
    """A scenario family's purpose and settings."""
    from palimpsest.benchmark.cli.printing.listings import scenario

    load_plugins(plugin)
    scenario(name)


@show_app.command("supernet")
def show_supernet(name: str) -> None:
    """A supernet's purpose, architectures and settings."""
    from palimpsest.benchmark.cli.printing.listings import supernet

    supernet(name)


@show_app.command("metric")
def show_metric(name: str, plugin: MetricPluginOption = None) -> None:
    """A metric's meaning, formula, unit, direction and source."""
    from palimpsest.benchmark.cli.printing.listings import metric

    load_for_reading(plugin)
    metric(name)


@show_app.command("run")
def show_run(
    key: Annotated[str, typer.Argument(help="The run's key, or a unique prefix of it.")],
    store: StoreOption = DEFAULT_STORE,
    plugin: MetricPluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything that a store holds about one run; if it failed, the traceback."""
    from palimpsest.benchmark.cli.printing.show_run import show_run

    load_for_reading(plugin)
    show_run(key, store, as_json)


@show_app.command("suite")
def show_suite(name: str) -> None:
    """The file of a suite that comes with Palimpsest."""
    from palimpsest.benchmark.cli.printing.listings import suite

    suite(name)
