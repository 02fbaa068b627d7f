"""``palimpsest show``; what a command needs is imported when it is called."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from palimpsest.benchmark.cli.models import (
    DEFAULT_STORE,
    JsonOption,
    MetricPluginOption,
    PluginOption,
    StoreOption,
    load_for_reading,
    load_plugins,
)
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError, nearest

show_app = typer.Typer(help="Show one thing in full.", no_args_is_help=True)


@show_app.command()
def strategy(name: str, plugin: PluginOption = None) -> None:
    """A strategy's purpose, source and settings."""
    from palimpsest.benchmark.cli.printing.settings_text import print_settings
    from palimpsest.benchmark.suites.catalogue import shown_strategy
    from palimpsest.strategies.base.catalogue import STRATEGIES

    load_plugins(plugin)
    if name not in STRATEGIES:
        from palimpsest.benchmark.plugins import load_packages

        load_packages()
    if name not in STRATEGIES:
        raise UserError(f"unknown strategy {name!r}; {nearest(name, STRATEGIES)}")
    shown = shown_strategy(name)
    say(f"{name}: {shown.facts.summary}")
    say(f"Source: {shown.facts.source}")
    say(f"In Python: from {shown.module} import {shown.class_name}\n")
    print_settings(shown.settings, leave_out={"seed"})  # a suite's seeds decide it
    if dial := shown.facts.dial:
        say(f"  {dial.plural}")
        say(f"      In a suite, in place of {dial.name}: a list to sweep over.")
    if "seed" in {setting.name for setting in shown.settings}:
        say("\nIn Python also: seed, which a suite sets itself.")


@show_app.command()
def scenario(name: str, plugin: PluginOption = None) -> None:
    """A scenario family's purpose and settings."""
    from palimpsest.benchmark.cli.printing.settings_text import print_model
    from palimpsest.benchmark.plugins import load_packages
    from palimpsest.benchmark.plugins.families import FAMILIES

    load_plugins(plugin)
    if name not in FAMILIES:
        load_packages()
    if name not in FAMILIES:
        raise UserError(f"unknown scenario family {name!r}; {nearest(name, FAMILIES)}")
    say(f"{name}: {inspect.getdoc(FAMILIES[name])}\n")
    print_model(FAMILIES[name], leave_out={"family"})


@show_app.command()
def supernet(name: str) -> None:
    """A supernet's purpose, architectures and settings."""
    from palimpsest.benchmark.cli.printing.settings_text import print_model, supernet_models

    known = supernet_models()
    if name not in known:
        raise UserError(f"unknown supernet {name!r}; {nearest(name, known)}")
    model = known[name]
    space = model().space()
    first = (0,) * len(space.options)
    say(f"{name}: {inspect.getdoc(model)}\n")
    say(f"Data: {model.data}")
    say(f"Decisions: {model.decisions}")
    options = ", ".join(map(str, space.options))
    counts = f"{space.size:,} architectures; options of each decision: {options}"
    say(f"With the default settings: {counts}")
    say(f"The first one: {list(first)}, {space.text(first)}\n")
    print_model(model, leave_out={"name"})


@show_app.command()
def metric(name: str, plugin: MetricPluginOption = None) -> None:
    """A metric's meaning, formula, unit, direction and source."""
    from palimpsest.benchmark.cli.printing.listings import facts
    from palimpsest.benchmark.metrics import METRICS

    load_for_reading(plugin)
    if name not in METRICS:
        raise UserError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
    found = METRICS[name]
    say(f"{found.title}: {found.meaning}\n")
    if formula := inspect.getdoc(found.function):
        say(f"{formula}\n")
    for what, text in facts(found).items():
        say(f"{what}: {text}")


@show_app.command()
def run(
    key: Annotated[str, typer.Argument(help="The run's key, or a unique prefix of it.")],
    store: StoreOption = DEFAULT_STORE,
    plugin: MetricPluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything that a store holds about one run; if it failed, the traceback."""
    from palimpsest.benchmark.cli.printing.show_run import show_run

    load_for_reading(plugin)
    show_run(key, store, as_json)


@show_app.command()
def suite(name: str) -> None:
    """The file of a suite that comes with Palimpsest."""
    from palimpsest.benchmark.suites.file import shipped_suites

    shipped = shipped_suites()
    if name not in shipped:
        raise UserError(f"no shipped suite {name!r}; {nearest(name, shipped)}")
    say(shipped[name], end="")
