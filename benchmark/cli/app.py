"""The commands: a model of its options each, and a function that is imported when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from palimpsest.benchmark.cli import models
from palimpsest.benchmark.cli.list_commands import list_app
from palimpsest.benchmark.cli.models import load_for_reading, load_plugins
from palimpsest.benchmark.cli.show_commands import show_app

app = typer.Typer(
    name="palimpsest",
    help="Compare methods against forgetting in networks whose models share parameters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
new_app = typer.Typer(help="Write files to start from.", no_args_is_help=True)
app.add_typer(list_app, name="list")
app.add_typer(show_app, name="show")
app.add_typer(new_app, name="new")


@new_app.command("strategy")
def _new_strategy(
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


Prepare = Callable[[list[Path] | None], None]


def _add(model: type[Any], function: str, prepare: Prepare | None = load_for_reading) -> None:
    """Add a command.

    Args:
        model: Its options.
        function: ``COMMAND:NAME``: a function of the module ``commands.COMMAND`` that takes the
            model and may return an exit code.
        prepare: Loads the plugins that were given.
    """
    module, _, name = function.partition(":")

    def command(**given: Any) -> None:
        if prepare is not None:
            prepare(given.get("plugin"))
        found = getattr(import_module(f"{__package__}.commands.{module}"), name)
        raise typer.Exit(found(model(**given)) or 0)

    command.__doc__ = model.__doc__
    command.__signature__ = _signature(model)  # type: ignore[attr-defined]
    command.__annotations__ = get_type_hints(model, include_extras=True)
    app.command(module)(command)


def _signature(model: type[Any]) -> inspect.Signature:
    """Return a model's fields as parameters: its own first, then those of its bases."""
    inherited = [n for base in model.__mro__[1:] for n in getattr(base, "__annotations__", {})]
    names = [*(name for name in model.__annotations__ if name not in inherited), *inherited]
    parameters = inspect.signature(model).parameters
    types = get_type_hints(model, include_extras=True)
    return inspect.Signature(
        [parameters[name].replace(annotation=types[name]) for name in dict.fromkeys(names)]
    )


_add(models.RunCommand, "run:run_suites")
_add(models.ReportCommand, "report:make_report")
_add(models.WatchCommand, "watch:watch")
_add(models.PageCommand, "page:make_page")
_add(models.ArchiveCommand, "archive:make_archive")
_add(models.ExportCommand, "export:export")
_add(models.MergeCommand, "merge:merge_stores")
_add(models.PruneCommand, "prune:prune")
_add(models.DoctorCommand, "doctor:doctor", None)
_add(models.CompareCommand, "compare:compare")
_add(models.CheckCommand, "check:check_strategies", load_plugins)
_add(models.CacheCommand, "cache:show_cache", None)
_add(models.SpeedCommand, "speed:measure_speed", None)
