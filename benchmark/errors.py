"""The errors a user can cause; everything else is a bug and keeps its traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake of the user.

    The message says what was wrong, where, what was expected and what to do. The command
    line prints it without a traceback and exits with code 2.
    """


class SettingError(UserError):
    """A mistake in one setting of a scenario or strategy.

    Attributes:
        path: Where the setting is in it, such as ``("arguments", "seed")``.
    """

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


class Remark(UserWarning):
    """What a user should know, although the work goes on.

    Python shows it as a warning, and the command line as a line.
    """


def quoted(value: object) -> str:
    """Return a value as messages quote it: its ``repr``, cut off where it is long.

    Args:
        value: What the user gave.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_LONGEST = 80
"""Characters that a message quotes."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint that names the valid word closest to ``name``, or lists them all.

    Args:
        name: The word the user wrote.
        valid: The words that would have been right.

    Returns:
        ``"did you mean 'split'?"``, or ``"expected one of: a, b, c"`` where none is close.
    """
    words = sorted(valid)
    if not words:
        return "there is none to choose from"
    by_lower_case = {word.lower(): word for word in words}
    close = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_lower_case[close[0]]!r}?"
    return f"expected one of: {', '.join(words)}"
