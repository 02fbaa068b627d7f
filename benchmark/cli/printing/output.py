r"""What the command prints, and where: standard output is the command's own.

Whatever plugins, libraries and worker processes print goes to standard error, so ``--json`` stays
JSON. Control characters in names and errors are written as ``\x1b``: printed as they are, they
would command the terminal.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from palimpsest.benchmark.errors import Remark

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Also what turns the direction of writing, and halves of characters. Not tab and line feed."""

_OUT, _ERR = 1, 2


class _Output:
    """The command's standard output, while others print elsewhere."""

    own: TextIO | None = None


def printable(text: str) -> str:
    """Return a text with its control characters written out, except tabs and line feeds."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def in_a_line(text: str) -> str:
    """Return a name or message as one printable line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def say(text: object = "", end: str = "\n") -> None:
    """Print to standard output, where the result of a command goes."""
    print(printable(str(text)), end=end, file=_Output.own or sys.stdout, flush=True)


def tell(text: object) -> None:
    """Print to standard error, where progress and problems go."""
    print(printable(str(text)), file=sys.stderr, flush=True)


def tell_remarks() -> None:
    """Print each ``Remark`` as a line, and other warnings as Python does."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Remark):
            tell(f"warning: {message}")
        else:
            usual(message, category, *place, **more)

    warnings.showwarning = show


@contextlib.contextmanager
def output_restored() -> Iterator[None]:
    """Give standard output back at the end, if ``claim_output`` has been called."""
    python, own = sys.stdout, _Output.own
    try:
        yield
    finally:
        mine, _Output.own, sys.stdout = _Output.own, own, python
        if mine is not None and mine is not python:
            with contextlib.suppress(OSError):  # whoever reads may have gone
                os.dup2(mine.fileno(), _OUT)
                mine.close()


def claim_output() -> None:
    """Keep standard output for ``say``: whatever others print goes to standard error from now on.

    This includes libraries that print without Python, and child processes.
    """
    if _Output.own is not None or sys.stdout is None or sys.stderr is None:
        return
    _Output.own = sys.stdout
    if _is(sys.stdout, _OUT) and _is(sys.stderr, _ERR):
        sys.stdout.flush()
        _Output.own = os.fdopen(
            os.dup(_OUT), "w", encoding=sys.stdout.encoding, errors="backslashreplace"
        )
        os.dup2(_ERR, _OUT)
    sys.stdout = sys.stderr


def _is(stream: TextIO, descriptor: int) -> bool:
    """Whether a stream writes to a descriptor; in a notebook or a test it may not."""
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def claimed() -> TextIO | None:
    """Return where ``say`` prints; ``None`` for standard output as it is."""
    return _Output.own
