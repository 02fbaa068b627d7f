"""Numbers as the report writes them: fractions become per cent or percentage points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from palimpsest.benchmark.metrics import Metric
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.words import several

DASH = "–"
_SPACE = "\N{NO-BREAK SPACE}"
_IN_FULL = 10_000


def percent(value: float | None, *, signed: bool = False) -> str:
    """Write a fraction in per cent with one decimal, without the unit; a dash for ``None``."""
    if value is None:
        return DASH
    text = f"{round(100 * value, 1) + 0.0:{'+' if signed else ''}.1f}"  # + 0.0: no minus zero
    return text.removeprefix("+" if text == "+0.0" else "").replace("-", "\N{MINUS SIGN}")


def decimals(value: float | None, *, digits: int = 2, signed: bool = False) -> str:
    """Write a number with so many decimals, and commas in thousands; a dash for ``None``."""
    if value is None:
        return DASH
    value = round(value, digits) + 0.0  # + 0.0: no minus zero
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    return (text if value else text.removeprefix("+")).replace("-", "\N{MINUS SIGN}")


def spread(found: Estimate, write: Callable[[float], str], label: str = "seeds ") -> str:
    """Write the uncertainty of a number, with ``label`` before the values of single seeds.

    Its 95 % interval, ``[40.0, 50.2]``; for two or three seeds their values,
    ``(seeds 41.3, 44.0)``; nothing for one seed, or where seeds have no values of their own.
    """
    if found.low is not None and found.high is not None:
        return f"[{write(found.low)},{_SPACE}{write(found.high)}]"
    if len(found.seeds) < 2:
        return ""
    return f"({label}{f',{_SPACE}'.join(write(value) for value in found.seeds)})"


def apart(found: Estimate, write: Callable[[float], str] | None = None) -> str:
    """Say that seeds are far from all others: ``1 of 5 seeds far below, median 91.2``.

    For a ratio of means this is said of its two means: ``forgetting of 1 of 8 seeds far above,
    median 2.5 points``. Without ``write`` the median is left out.
    """
    of_parts = None if write is None else lambda value: f"{percent(value)}{_SPACE}points"
    remarks = [
        f"{name} of {remark}" for name, part in found.parts if (remark := _apart(part, of_parts))
    ]
    return "; ".join(filter(None, [_apart(found, write), *remarks]))


def _apart(found: Estimate, write: Callable[[float], str] | None) -> str:
    if found.strays is None or found.median is None:
        return ""
    of = f"{found.strays.count} of {several(len(found.seeds), 'seed')} {found.strays.where}"
    return of if write is None else f"{of}, median{_SPACE}{write(found.median)}"


def bracketed(found: Estimate, unit: str, *, signed: bool = False, seeds: int | None = None) -> str:
    """Write a mean and its interval: ``45.1 % [40.0, 50.2]``.

    Args:
        found: The number.
        unit: Its unit.
        signed: Whether a positive number has a plus sign.
        seeds: How many seeds the sentence is about; a number from another number of seeds says so.
    """
    write = partial(percent, signed=signed)
    shown = found.low is None and len(found.seeds) > 1  # the seeds themselves are written
    counted = seeds is not None and found.n not in {0, seeds} and not shown
    remarks = [several(found.n, "seed")] if counted else []
    remarks += [remark for remark in (apart(found, write),) if remark]
    parts = [f"{percent(found.value, signed=signed)}{_SPACE}{unit}", spread(found, write)]
    parts += [f"({'; '.join(remarks)})"] if remarks else []
    return " ".join(part for part in parts if part)


def strength_text(strength: float) -> str:
    """Write the value of a dial: whole numbers below 10,000 in full, others as short as they go.

    ``0.5``, ``10``, ``100``, ``2000``, ``1e4``, ``2.5e-7``.
    """
    plain = f"{strength + 0.0:.10g}"  # + 0.0: no minus zero
    if abs(strength) < _IN_FULL and float(strength).is_integer():
        return plain
    mantissa, exponent = f"{strength:.9e}".split("e")
    short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return short if strength and len(short) <= len(plain) else plain


def measured(metric: Metric) -> Callable[[float | None], str]:
    """Return a function that writes a value of a metric without unit, ``None`` as a dash."""
    if metric.is_percentage:
        return partial(percent, signed=metric.signed)
    if metric.digits is not None:
        return partial(decimals, digits=metric.digits, signed=metric.signed)
    return partial(_plain, signed=metric.signed)


def quantity(metric: Metric, value: float | None) -> str:
    """Write a value of a metric with its unit: ``91.2 %``, ``-1.3 points``, ``12.5 s``."""
    text = measured(metric)(value)
    return text if value is None or not metric.unit else f"{text}{_SPACE}{metric.unit}"


def _plain(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return DASH
    text = f"{value + 0.0:{'+' if signed and value else ''}.4g}"  # + 0.0: no minus zero
    return text.replace("-", "\N{MINUS SIGN}")
