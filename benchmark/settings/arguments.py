"""Arguments in a suite for classes and functions of other libraries, checked by their signature."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from palimpsest.benchmark.errors import SettingError, UserError, nearest, quoted


def check_signature(
    who: str,
    parameters: Mapping[str, inspect.Parameter],
    decided: Collection[str],
    arguments: Mapping[str, Any],
    documentation: str,
) -> None:
    """Refuse arguments that a class or function does not take, and missing ones.

    Args:
        who: The class or function, for messages.
        parameters: Its parameters.
        decided: Those whose arguments the harness gives.
        arguments: The arguments that the suite gives.
        documentation: Where to read about them, for messages.

    Raises:
        SettingError: Names the argument and the nearest valid one.
        UserError: Names what is missing.
    """
    own = {name: each for name, each in parameters.items() if name not in decided}
    for name in arguments:
        if name in decided:
            message = f"{who}: argument {name!r} is decided by the scenario; remove it"
            raise SettingError(("arguments", name), message)
        if name not in own:
            hint = nearest(name, own) if own else "it takes none"
            raise SettingError(("arguments", name), f"{who}: unknown argument {name!r}; {hint}")
        _check_type(who, own[name], arguments[name])
    missing = [n for n, p in own.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise UserError(
            f"{who}: missing under arguments: {', '.join(missing)} (see {documentation})"
        )


def _check_type(who: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuse a value that has neither the type of the signature nor that of the default."""
    if parameter.default is not parameter.empty and value == parameter.default:
        return
    wanted: Any = parameter.annotation
    if wanted is parameter.empty:
        wanted = type(parameter.default)
        if wanted not in {int, float, bool, str}:
            return
    try:
        TypeAdapter(wanted).validate_python(value, strict=True)
    except ValidationError:
        told = wanted.__name__ if isinstance(wanted, type) else str(wanted).replace("typing.", "")
        message = f"{who}: {parameter.name} is of type {told} there, got {quoted(value)}"
        raise SettingError(("arguments", parameter.name), message) from None
    except (PydanticUserError, NameError):  # a type that only the library can check
        return
