"""Files and JSON from others: read within limits, or refused."""

from __future__ import annotations

import errno
import json
import math
import re
import stat
from pathlib import Path
from typing import IO, Any, NoReturn

from palimpsest.benchmark.errors import quoted

MOST_LEVELS = 50
"""The limit of nested lists and objects; our own files have about ten."""

_LARGE = re.compile(r"[eE]\+?0*[1-9]\d\d|\d{300}")
"""Numbers that may be too large for a float; checking every number would take twice the time."""


def parsed(text: str | bytes, *, finite: bool = True) -> Any:
    """Return the content of JSON.

    Args:
        text: The JSON; bytes are UTF-8.
        finite: Whether to refuse numbers that are not finite.

    Raises:
        ValueError: It is not JSON, has other numbers, or is nested too deeply.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        hooks: dict[str, Any] = {"parse_constant": _refused} if finite else {}
        if finite and _LARGE.search(text):
            hooks |= {"parse_float": _finite, "parse_int": _finite}
        whole = json.loads(text, **hooks)
    except RecursionError:
        raise _too_deep() from None
    level = [whole]
    for _ in range(MOST_LEVELS + 1):
        level = [
            part
            for each in level
            if type(each) in (list, dict)
            for part in (each.values() if type(each) is dict else each)
            if type(part) in (list, dict)
        ]
        if not level:
            return whole
    raise _too_deep()


def opened(path: Path) -> IO[bytes]:
    """Open a regular file for reading. A pipe or a device is refused: reading might wait for ever.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # of a folder, the system itself says so
        raise OSError(errno.EINVAL, "this is not a regular file", str(path))
    return path.open("rb")


def content(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: As ``opened``.
    """
    with opened(path) as file:
        return file.read()


def _finite(number: str) -> float | int:
    if not math.isfinite(float(number)):
        _refused(number)
    return int(number) if number.lstrip("-").isdigit() else float(number)


def _refused(number: str) -> NoReturn:
    raise ValueError(f"{quoted(number)} is no number of a run")


def _too_deep() -> ValueError:
    return ValueError(f"lists or objects nested too deeply: over {MOST_LEVELS} levels")
