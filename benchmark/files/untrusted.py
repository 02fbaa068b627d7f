"""Files and JSON that somebody else may have written: read within limits, or refused."""

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
"""Of lists and objects in each other; what is written here has about ten."""

_LARGE = re.compile(r"[eE]\+?0*[1-9]\d\d|\d{300}")
"""What may be too large for a float; to look at every number would take twice the time."""


def parsed(text: str | bytes, *, finite: bool = True) -> Any:
    """Return what JSON says.

    Args:
        text: The JSON; bytes are UTF-8.
        finite: Whether all of its numbers have to be.

    Raises:
        ValueError: It is no JSON, not of such numbers, or nested too deeply.
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
    """Open a regular file for reading; what else has the name (a pipe, a device) is not waited for.

    Raises:
        OSError: It cannot be opened, or is none.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # of a folder, the system itself says so
        raise OSError(errno.EINVAL, "this is not a regular file", str(path))
    return path.open("rb")


def content(path: Path) -> bytes:
    """Return what a regular file holds.

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
