"""``palimpsest list``; what a command needs is imported when it is called."""

from __future__ import annotations

import typer

from palimpsest.benchmark.cli.models import (
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


@list_app.command()
def strategies(plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """The strategies that a suite can name."""
    from palimpsest.benchmark.cli.printing.listings import print_rows
    from palimpsest.benchmark.plugins import load_packages
    from palimpsest.benchmark.suites.catalogue import shown_strategy
    from palimpsest.strategies.base.catalogue import STRATEGIES

    load_plugins(plugin)
    load_packages()
    found = [shown_strategy(name).facts for name in STRATEGIES]
    rows = [{"name": e.name, "summary": e.summary, "source": e.source} for e in found]
    rows.append(
        {
            "name": "avalanche:CLASS",
            "summary": "any supervised strategy class of Avalanche, with its arguments",
            "source": "avalanche.training.supervised",
        }
    )
    print_rows(rows, as_json)


@list_app.command()
def scenarios(plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """The scenario families that a suite can name."""
    from palimpsest.benchmark.cli.printing.listings import print_rows
    from palimpsest.benchmark.cli.printing.settings_text import first_line
    from palimpsest.benchmark.plugins import load_packages
    from palimpsest.benchmark.plugins.families import FAMILIES

    load_plugins(plugin)
    load_packages()
    rows = [{"name": name, "summary": first_line(each)} for name, each in FAMILIES.items()]
    print_rows(rows, as_json)


@list_app.command()
def networks(plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """Networks that a scenario can name."""
    from palimpsest.benchmark.cli.printing.listings import print_rows
    from palimpsest.benchmark.models.registry import AVALANCHE, MODULE, NETWORKS, TORCHVISION
    from palimpsest.benchmark.plugins import load_packages

    load_plugins(plugin)
    load_packages()
    found = [
        ("mlp", "fully connected layers; the default", ""),
        ("cnn", "3x3 convolutions, the first two with pooling", ""),
        *((each.name, each.summary, each.source) for each in NETWORKS.values()),
        (
            f"{TORCHVISION}NAME",
            "any classification network of torchvision",
            "torchvision.models",
        ),
        (f"{AVALANCHE}NAME", "a network of Avalanche, such as SlimResNet18", "avalanche.models"),
        (f"{MODULE}PACKAGE.NAME", "a class or function of an installed package", ""),
    ]
    rows = [{"name": name, "summary": says, "source": source} for name, says, source in found]
    print_rows(rows, as_json)


@list_app.command()
def supernets(as_json: JsonOption = False) -> None:
    """Supernets that an architecture search can name."""
    from palimpsest.benchmark.cli.printing.listings import print_rows
    from palimpsest.benchmark.cli.printing.settings_text import first_line, supernet_models

    rows = [
        {
            "name": name,
            "data": model.data,
            "architectures": f"{model().space().size:,}",
            "summary": first_line(model),
            "decisions": model.decisions,
        }
        for name, model in supernet_models().items()
    ]
    print_rows(rows, as_json)


@list_app.command()
def probes(as_json: JsonOption = False) -> None:
    """The probes that a suite can ask for: what they record of the inside of runs."""
    from palimpsest.benchmark.cli.printing.listings import print_rows
    from palimpsest.benchmark.probes import PROBES, summary_of

    print_rows([{"name": name, "summary": summary_of(name)} for name in PROBES], as_json)


@list_app.command()
def metrics(plugin: MetricPluginOption = None, as_json: JsonOption = False) -> None:
    """The metrics that are computed for every run."""
    from palimpsest.benchmark.cli.printing.listings import needs, print_rows
    from palimpsest.benchmark.metrics import METRICS

    load_for_reading(plugin)
    rows = [
        {
            "name": each.name,
            "unit": each.unit,
            "better": each.better,
            "needs": needs(each),
            "summary": each.meaning,
        }
        for each in METRICS.values()
    ]
    print_rows(rows, as_json)


@list_app.command()
def suites(as_json: JsonOption = False) -> None:
    """The suites that come with Palimpsest."""
    import yaml

    from palimpsest.benchmark.cli.printing.listings import print_rows
    from palimpsest.benchmark.suites.file import shipped_suites

    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # in C, where there is one: 5 times as fast
    rows = []
    for name, text in shipped_suites().items():
        description = yaml.load(text, loader).get("description", "")
        rows.append({"name": name, "summary": " ".join(description.split())})
    print_rows(rows, as_json)


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
