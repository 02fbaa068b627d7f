"""The commands: a model of its options each, and a function that is imported when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from palimpsest.benchmark.cli import models
from palimpsest.benchmark.cli.inner_commands import list_app, new_app, show_app
from palimpsest.benchmark.cli.options import load_for_reading, load_plugins

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


Prepare = Callable[[list[Path] | None], None]


def _add(model: type[Any], function: str, prepare: Prepare | None = load_for_reading) -> None:
    """Add a command.

    Args:
        model: Of its options; it is called as the function's module.
        function: ``MODULE:NAME`` in ``commands``; takes the model, and may return an exit code.
        prepare: Called with the plugins that were given, if any, before the function.
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
    types = get_type_hints(model, include_extras=True)
    own = model.__annotations__
    inherited = [
        each for base in model.__mro__[1:] for each in getattr(base, "__annotations__", {})
    ]
    by_name = {each.name: each for each in fields(model)}
    names = dict.fromkeys([*(n for n in own if n not in inherited), *inherited])
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty
                if by_name[name].default is MISSING
                else by_name[name].default,
                annotation=types[name],
            )
            for name in names
        ]
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
