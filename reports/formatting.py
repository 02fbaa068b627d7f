"""Numbers as the report writes them: fractions become per cent or percentage points."""

from __future__ import annotations

from collections.abc import Sequence

from reports.statistics import Interval

NOTHING = "–"
_SPACE = "\N{NO-BREAK SPACE}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """Write a fraction in per cent with one decimal, without the unit; a dash for ``None``."""
    if value is None:
        return NOTHING
    text = f"{round(100 * value, 1) + 0.0:{'+' if signed else ''}.1f}"  # + 0.0: no minus zero
    return text.removeprefix("+" if text == "+0.0" else "").replace("-", "\N{MINUS SIGN}")


def decimals(value: float) -> str:
    """Write a number with two decimals."""
    return f"{value:.2f}"


def bracketed(found: Interval, unit: str, *, signed: bool = False) -> str:
    """Write a mean and its interval: ``45.1 % [40.0, 50.2]``."""
    text = f"{percent(found.mean, signed=signed)}{_SPACE}{unit}"
    if found.half is None:
        return text
    ends = (percent(end, signed=signed) for end in (found.low, found.high))
    return f"{text} [{f',{_SPACE}'.join(ends)}]"


def several(n: int, noun: str) -> str:
    """Write a count with its noun: ``1 run``, ``3 runs``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def joined(names: Sequence[str]) -> str:
    """Write names in a row: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def duration(seconds: float) -> str:
    """Write a time: ``4.2 s``, ``3 min 20 s``, ``5 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
