"""Prints the settings of strategies, scenarios and supernets."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.settings.text import SettingText, type_text

if TYPE_CHECKING:
    from palimpsest.benchmark.search.supernets.settings import (
        ConvolutionalCell,
        MicroCell,
        RecurrentCell,
    )


def supernet_models() -> dict[str, type[ConvolutionalCell | RecurrentCell | MicroCell]]:
    """Return the settings of all supernets, by name."""
    from palimpsest.benchmark.search.supernets import settings

    models = (settings.ConvolutionalCell, settings.RecurrentCell, settings.MicroCell)
    return {each.model_fields["name"].default: each for each in models}


def first_line(documented: type[Any]) -> str:
    """Return the first line of a class's docstring."""
    return (inspect.getdoc(documented) or "").splitlines()[0]


def print_settings(
    settings: Sequence[SettingText], leave_out: Iterable[str] = (), *, title: bool = True
) -> None:
    """Print a line for each setting, and its description below it."""
    if not settings:
        say("It has no settings.")
        return
    if title:
        say("Settings:")
    for setting in settings:
        if setting.name not in leave_out:
            say(f"  {setting.name} = {setting.default}   ({setting.values})")
            if setting.description:
                say(f"      {setting.description}")


def print_model(model: type[BaseModel], leave_out: Iterable[str], *, title: bool = True) -> None:
    """Print the settings of a model, and those of the models inside it."""
    print_settings(SettingText.of(model), leave_out, title=title)
    inside: dict[type[BaseModel], list[str]] = {}
    for setting, field in model.model_fields.items():
        for found in _models(field.annotation):
            inside.setdefault(found, []).append(setting)
    for found, settings in inside.items():
        name = found.model_fields.get("name")
        # The name chooses this one of several models, unless any text is allowed there.
        chooses = name is not None and get_origin(name.annotation) is Literal
        chosen = f", with name: {type_text(name.annotation)}" if name and chooses else ""
        say(f"\nInside {' and '.join(settings)}{chosen}: {first_line(found)}")
        print_model(found, {"name"} if chooses else (), title=False)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation, such as the optimizers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
