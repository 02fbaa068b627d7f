"""Counts, lists and times in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def natural(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that orders numbers in names by value: ``v2`` before ``v10``."""
    # Texts and numbers alternate, so that only like is compared with like.
    parts = re.split(r"([0-9]{1,300})", text)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


def several(n: int, noun: str) -> str:
    """Write a count with its noun: ``1 run``, ``3 runs``."""
    return f"{n} {noun if n == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Write a noun for several: ``runs``, ``densities``."""
    return f"{noun[:-1]}ies" if noun[-1:] == "y" and noun[-2:-1] not in "aeiou" else f"{noun}s"


def joined(names: Sequence[str]) -> str:
    """Join names as a list: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def ranges(numbers: Iterable[int]) -> list[str]:
    """Write whole numbers, three or more in a row as a range: ``0``, ``1``, ``3 to 9``.

    Args:
        numbers: In any order, with or without repeats.
    """
    rows: list[list[int]] = []
    for number in sorted(set(numbers)):
        if rows and rows[-1][-1] == number - 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    parts = [[f"{row[0]} to {row[-1]}"] if len(row) > 2 else map(str, row) for row in rows]
    return [text for part in parts for text in part]


def duration(seconds: float) -> str:
    """Write a time: ``4.2 s``, ``3 min 20 s``, ``5 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def whole_seconds(seconds: float) -> str:
    """Write a time in whole seconds, at least one: ``4 s``, ``3 min 20 s``."""
    return f"{max(1, round(seconds))} s" if seconds < 59.5 else duration(seconds)
