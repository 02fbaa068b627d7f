"""The seeds of a suite, from its file or from the user."""

from __future__ import annotations

from typing import Any

from palimpsest.benchmark.errors import UserError, quoted
from palimpsest.benchmark.suites.file import SuiteSource
from palimpsest.benchmark.suites.validation import shown

OPTION = "--seeds"

MOST_SEEDS = 10_000
_SEEDS_END = 2**63


def seeds_of(seeds: Any, source: SuiteSource) -> tuple[int, ...]:
    """Return the seeds that ``seeds`` in a suite means: how many (0, 1, ...), or which.

    Raises:
        UserError: They are not valid; says where and what was expected.
    """
    if isinstance(seeds, list):
        if len(seeds) > MOST_SEEDS:
            raise source.error(("seeds",), f"more than {MOST_SEEDS} seeds are listed; take fewer")
        known: set[int] = set()
        for place, seed in enumerate(seeds):
            if not _whole(seed) or not 0 <= seed < _SEEDS_END:
                message = f"a seed is a whole number from 0 to 2^63 - 1, got {shown(seed)}"
                raise source.error(("seeds", place), message)
            if seed in known:
                raise source.error(("seeds", place), f"expected different seeds, got {seed} twice")
            known.add(seed)
        if not seeds:
            raise source.error(("seeds",), "at least one seed is needed, got []")
        return tuple(seeds)
    if not _whole(seeds):
        message = f"expected how many seeds (5) or a list of them ([3, 5, 8]), got {shown(seeds)}"
        raise source.error(("seeds",), message)
    if seeds < 1:
        raise source.error(("seeds",), f"at least one seed is needed, not {shown(seeds)}")
    if seeds > MOST_SEEDS:
        message = f"{shown(seeds)} seeds are too many; expected at most {MOST_SEEDS}"
        if seeds < _SEEDS_END:
            given = source.assigned.get(("seeds",)) == OPTION
            alone = f"{OPTION} {seeds}," if given else f"[{seeds}]"
            message = f"{message}, or for the single seed {seeds}: {alone}"
        raise source.error(("seeds",), message)
    return tuple(range(seeds))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parse_seeds(text: str) -> int | list[int]:
    """Parse ``--seeds``: ``5`` is how many, ``3,5,8`` and ``7,`` are which.

    Raises:
        UserError: It is neither.
    """
    try:
        numbers = [int(word) for word in text.strip().removesuffix(",").split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        given = text if text.isprintable() and len(text) <= 80 else quoted(text)
        raise UserError(
            f"--seeds {given}: expected how many seeds (--seeds 5) or different seeds separated "
            "by commas (--seeds 3,5,8, or --seeds 3, for one)"
        )
    return numbers[0] if len(numbers) == 1 and "," not in text else numbers
